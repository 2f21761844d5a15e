"""Benchmarks, run by asv (`make bench`): minigrad and PyTorch on the same work, each on its own.

They import public names only, so that the same file measures older versions too.
"""
