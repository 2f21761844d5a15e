"""Checks of the GPU backend that need no GPU: see docs/gpu.md."""
