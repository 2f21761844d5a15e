"""PowerSGD: gradients as products of two thin matrices (T. Vogels, S. P. Karimireddy, M. Jaggi,
PowerSGD: Practical low-rank gradient compression for distributed optimization, 2019, algorithm 1).

    M (n, m) the gradient plus what was lost last time    Q (m, r), kept from the last step
    P = M Q, averaged over the ranks, orthogonalised      one step of the power iteration
    Q = Mᵀ P, averaged                                    r (n + m) numbers instead of n m
    M̂ = P Qᵀ is used; M - M̂ is added to the next gradient (error feedback)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import errors
from ....futures import Future
from ...bucket import GradBucket
from ...group import resolve
from ...reduce_op import ReduceOp
from .default_hooks import allreduce_hook, submit


class PowerSGDState:
    """Rank, when to start, and what is kept from step to step for each bucket.

    The first `start_powerSGD_iter` steps average as usual. Tensors are compressed if that saves
    `min_compression_rate` or more: n m > rate · r (n + m); vectors never are. ValueError for fewer
    than 2 first steps with error feedback or warm start, as PyTorch.
    """

    def __init__(
        self,
        process_group: Any = None,
        matrix_approximation_rank: int = 1,
        start_powerSGD_iter: int = 1_000,
        min_compression_rate: float = 2,
        use_error_feedback: bool = True,
        warm_start: bool = True,
        orthogonalization_epsilon: float = 0,
        random_seed: int = 0,
    ):
        if (use_error_feedback or warm_start) and start_powerSGD_iter <= 1:
            raise ValueError(
                "Expect `start_powerSGD_iter` > 1 if `use_error_feedback` or `warm_start` is"
                " enabled, because PowerSGD can only be applied after the first two iterations in"
                " DDP."
            )
        if matrix_approximation_rank < 1:
            raise errors.value_error(
                "PowerSGDState", argument="matrix_approximation_rank", expected="1 or more",
                actual=matrix_approximation_rank,
            )  # fmt: skip
        self.process_group = process_group
        self.matrix_approximation_rank = matrix_approximation_rank
        self.start_powerSGD_iter = start_powerSGD_iter
        self.min_compression_rate = min_compression_rate
        self.use_error_feedback, self.warm_start = use_error_feedback, warm_start
        self.orthogonalization_epsilon = orthogonalization_epsilon
        self.rng = np.random.default_rng(random_seed)  # the same on every rank
        self.iter = 0
        self.errors: dict[int, np.ndarray] = {}
        self.q_memory: dict[int, list[np.ndarray]] = {}
        self.numel_before = self.numel_after = 0

    def compression_stats(self) -> tuple[float, int, int]:
        """(rate, numbers before, numbers after) of all steps so far."""
        rate = self.numel_before / self.numel_after if self.numel_after else 0.0
        return rate, self.numel_before, self.numel_after


def _worthwhile(state: PowerSGDState, shape: tuple[int, int], rank: int) -> bool:
    n, m = shape
    return (n + m) * rank * state.min_compression_rate < n * m


def _orthogonalise(p: np.ndarray, epsilon: float) -> None:
    """Gram-Schmidt on the columns, in place."""
    for i in range(p.shape[1]):
        column = p[:, i]
        norm = np.linalg.norm(column)
        column /= norm + epsilon if epsilon else max(float(norm), 1e-30)
        rest = p[:, i + 1 :]
        rest -= np.outer(column, column @ rest)


def _average(backend: Any, arrays: list[np.ndarray], size: int) -> None:
    """Average several arrays at once, in place."""
    if not arrays:
        return
    flat = np.concatenate([a.reshape(-1) for a in arrays])
    backend.all_reduce(flat, ReduceOp.AVG)
    at = 0
    for a in arrays:
        a[...] = flat[at : at + a.size].reshape(a.shape)
        at += a.size


def powerSGD_hook(state: PowerSGDState, bucket: GradBucket) -> Future:
    """Average the bucket's matrices by their best approximations of low rank, the rest as it is."""
    array, index = bucket.buffer()._data, bucket.index()
    if state.iter < state.start_powerSGD_iter:
        if bucket.is_last():
            state.iter += 1
        return allreduce_hook(state.process_group, bucket)
    if bucket.is_last():
        state.iter += 1
    size = resolve(state.process_group).size()
    if state.use_error_feedback:
        if index in state.errors:
            array += state.errors[index]
        before = array.copy()
    matrices, vectors, ranks = [], [], []
    for gradient in bucket.gradients():
        g = gradient._data
        if g.ndim > 1:
            matrix = g.reshape(g.shape[0], -1)
            rank = min(*matrix.shape, state.matrix_approximation_rank)
            if _worthwhile(state, matrix.shape, rank):
                matrices.append(matrix)
                ranks.append(rank)
                continue
        vectors.append(g)
    qs = state.q_memory.get(index)
    if qs is None or not state.warm_start:
        qs = [
            state.rng.standard_normal((m.shape[1], r)).astype(m.dtype)
            for m, r in zip(matrices, ranks, strict=True)
        ]
        for q in qs:
            _orthogonalise(q, state.orthogonalization_epsilon)
        state.q_memory[index] = qs
    sent = sum(v.size for v in vectors)
    sent += sum((sum(m.shape)) * r for m, r in zip(matrices, ranks, strict=True))
    state.numel_before += array.size
    state.numel_after += sent

    def task(backend: Any) -> Any:
        _average(backend, vectors, size)
        ps = [m @ q for m, q in zip(matrices, qs, strict=True)]
        _average(backend, ps, size)
        for p in ps:
            _orthogonalise(p, state.orthogonalization_epsilon)
        for m, p, q in zip(matrices, ps, qs, strict=True):
            np.matmul(m.T, p, out=q)
        _average(backend, qs, size)
        for m, p, q in zip(matrices, ps, qs, strict=True):
            np.matmul(p, q.T, out=m)
            # what the next power iteration starts from
            _orthogonalise(q, state.orthogonalization_epsilon)
        if state.use_error_feedback:
            lost = before - array
            for v in vectors:  # sent whole: nothing is lost
                at = (v.__array_interface__["data"][0] - array.__array_interface__["data"][0]) // (
                    array.itemsize
                )
                lost[at : at + v.size] = 0
            state.errors[index] = lost
        return array

    return submit(state.process_group, task)
