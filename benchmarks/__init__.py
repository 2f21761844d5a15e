"""Benchmarks: one set of workloads, three uses. docs/benchmarks.md tells how to run them.

    workloads/            what is measured, written once for every library
    measure.py            how: seconds, peak memory, equality of results
    compare.py            libraries side by side, in separate processes in turn (`make bench`)
    bench_workloads.py    asv: the history of commits
    test_workloads.py     pytest-benchmark: both libraries beside each other

They import public names only, so that they measure older versions too.
"""
