"""CPU kernels compiled by Numba when first needed and kept on disk for later processes.

compiler.py    @kernel: lazy compilation, the cache, serial and parallel variants
threads.py     one pool of threads for loops and BLAS; their number
scalars.py     exp, log, tanh, erf of one number, in a form that compilers turn into SIMD
loops.py       a formula over arrays becomes one loop over memory
blas.py        matrix products called from inside kernels
"""
