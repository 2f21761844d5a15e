"""Functions of functions: grad, vjp, jvp, Jacobians, vmap. Defined in
`minigrad/autograd/func.py`.
"""
