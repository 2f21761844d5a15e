"""Random programs, run by minigrad and by PyTorch, statement by statement side by side.

    python -m tests.fuzz --programs 20000 --seed 0

program    what a program is: statements as data, run with either library, printed as source
generate   a random program, made while PyTorch runs it
recipes    one statement at a time: which ops there are, and which arguments fit
compare    the two runs in step: values, gradients, dtypes, shapes, errors
shrink     the smallest part of a program that still differs
"""
