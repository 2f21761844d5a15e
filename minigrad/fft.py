"""Discrete Fourier transforms. Defined in `minigrad/ops/fft.py`, named by `@export("fft....")`."""
