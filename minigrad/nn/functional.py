"""Functions without state: activations, convolutions, pooling, normalisation, attention, losses.

Each is defined, with its formula and derivative, in `minigrad/ops`, and named there by
`@export("nn.functional....")`.
"""
