"""Layers: modules that hold parameters and call one function of `nn.functional` each."""
