"""Differentiable functions, a family a file, simplest first; `methods` binds them to Tensor.

elementwise compare shape join reduction indexing sorting scan creation random matmul linalg
activation softmax conv pool resize norm batch_norm dropout embedding attention loss
"""
