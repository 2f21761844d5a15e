"""Kernels: arrays in, arrays out, and never a Tensor.

The formulas of `minigrad.ops` run on NumPy as they stand. This folder runs them faster: `cpu/`
compiles the same formulas to threaded vector loops (Numba), and adds hand-written kernels where
fewer passes over memory beat a chain of formulas. Every kernel has a formula it must equal, which
also serves where Numba is not installed, where arrays are small, and under MINIGRAD_KERNELS=off.
"""
