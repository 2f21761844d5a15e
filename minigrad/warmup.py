"""Compile the CPU kernels now, rather than when they are first needed:

    python -m minigrad.warmup

Every formula that has a loop is compiled, and small programs, forward and backward, call the other
kernels; where gymnasium is installed, also the loops of `minigrad.rl` and the steps of its agents.
What is compiled is kept in `config.cache_dir` and found there by every later process of this
version on this machine. Safe to run again: what is there is not compiled twice.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from .kernels.cpu import compiler, loops

mg: Any = importlib.import_module(__package__ or "minigrad")  # the package as a user sees it

ROWS, COLUMNS = 256, 512
"""Large enough that every op takes its kernel, and all threads."""


def leaf(*shape: int) -> Any:
    """A parameter with numbers in it."""
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return mg.from_numpy(values).requires_grad_()


def forward_and_backward(f: Callable[..., Any], *leaves: Any) -> Callable[[], None]:
    """A program of one function."""

    def program() -> None:
        y = f(*leaves)
        y.backward(mg.ones_like(y))

    return program


def functions() -> Iterator[tuple[str, Callable[[], None]]]:
    """Programs of the functions that have kernels of their own."""
    F = mg.nn.functional
    rows, images = leaf(ROWS, COLUMNS), leaf(8, 16, 32, 32)
    classes = mg.randint(0, COLUMNS, (ROWS,))
    one = forward_and_backward
    yield "softmax", one(lambda x: F.softmax(x, -1), rows)
    yield "log_softmax", one(lambda x: F.log_softmax(x, -1), rows)
    yield "cross_entropy", one(lambda x: F.cross_entropy(x, classes), rows)
    yield "mse_loss", one(lambda x: F.mse_loss(x, rows.detach()), rows)
    yield "layer_norm", one(F.layer_norm, rows, (COLUMNS,), leaf(COLUMNS), leaf(COLUMNS))
    yield "rms_norm", one(F.rms_norm, rows, (COLUMNS,), leaf(COLUMNS))
    yield "group_norm", one(lambda x: F.group_norm(x, 4), images)
    yield "batch_norm", one(mg.nn.BatchNorm2d(16), images)
    for dim in (0, 1, None):
        yield f"sum {dim}", one(lambda x, dim=dim: x.sum() if dim is None else x.sum(dim), rows)
        yield f"mean {dim}", one(lambda x, dim=dim: x.mean() if dim is None else x.mean(dim), rows)
    yield "var", one(lambda x: x.var(-1), rows)
    yield "max", one(lambda x: x.max(-1).values, rows)
    yield "cumsum", one(lambda x: x.cumsum(-1), rows)
    yield "linear", one(F.linear, rows, leaf(64, COLUMNS), leaf(64))
    yield "matmul", one(mg.matmul, leaf(8, 64, 64), leaf(8, 64, 64))
    yield "linear, one row", one(F.linear, leaf(1, COLUMNS), leaf(64, COLUMNS), leaf(64))
    yield "embedding", one(lambda w: F.embedding(classes, w), leaf(COLUMNS, 64))
    yield "dropout", one(lambda x: F.dropout(x, 0.5), rows)
    heads = [leaf(2, 4, 128, 32) for _ in range(3)]
    yield "attention", one(F.scaled_dot_product_attention, *heads)
    yield (
        "causal",
        one(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), *heads),
    )
    yield "conv 3x3", one(mg.nn.Conv2d(16, 32, 3, padding=1), images)
    yield "conv 3x3 / 2", one(mg.nn.Conv2d(16, 32, 3, stride=2, padding=1), images)
    yield "conv 1x1", one(mg.nn.Conv2d(16, 32, 1), images)
    yield "conv depthwise", one(mg.nn.Conv2d(16, 16, 3, padding=1, groups=16), images)
    yield "conv first", one(mg.nn.Conv2d(3, 16, 5), leaf(8, 3, 32, 32))
    yield "conv transposed", one(mg.nn.ConvTranspose2d(16, 8, 2, stride=2), images)
    yield "max_pool", one(lambda x: F.max_pool2d(x, 2), images)
    yield "avg_pool", one(lambda x: F.avg_pool2d(x, 2), images)
    yield "interpolate", one(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), images)
    lstm = mg.nn.LSTM(32, 64)
    yield "lstm", one(lambda x: lstm(x)[0], leaf(16, 32, 32))
    gru = mg.nn.GRU(32, 64)
    yield "gru", one(lambda x: gru(x)[0], leaf(16, 32, 32))
    small = leaf(1, 2, 8, 8)  # the same kernels on the caller's thread
    yield "attention, small", one(F.scaled_dot_product_attention, small, small, small)
    yield "lstm, small", one(lambda x: lstm(x)[0], leaf(2, 2, 32))
    yield "gru, small", one(lambda x: gru(x)[0], leaf(2, 2, 32))
    yield "layer_norm, small", one(F.layer_norm, leaf(2, 32), (32,), leaf(32), leaf(32))
    for name in ("SGD", "Adam", "AdamW", "RMSprop"):
        yield name, lambda name=name: _optimizer_steps(name)


def _optimizer_steps(name: str) -> None:
    parameters = [leaf(ROWS, COLUMNS), leaf(COLUMNS)]
    for p in parameters:
        p.grad = mg.ones_like(p)
    optimizer = mg.optim.__dict__[name](parameters, lr=1e-3)
    for _ in range(2):
        optimizer.step()


def tabular() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Programs that call every compiled loop of `minigrad.rl`."""
    rl = mg.rl
    world, large = rl.GridWorld().model, rl.GridWorld((460, 460)).model  # for its threads
    policy, phi = np.full((25, 5), 0.2), np.eye(25)
    short: dict[str, Any] = {"episodes": 1, "length": 2}

    def prioritised() -> None:
        replay = rl.Replay(4, 1, (), np.int64, 1, gamma=0.9, alpha=0.5)
        one, no = np.zeros((1, 1), np.float32), np.zeros(1, bool)
        replay.add(one, np.zeros(1, np.int64), one[0], one, no, no)
        batch = replay.sample(np.random.default_rng(0), 2)
        replay.update(batch.index, batch.reward)

    one = np.zeros((1, 1), np.float32)
    for name, model in (("rl, dynamic programming", world), ("rl, a large model", large)):
        yield name, lambda model=model: rl.truncated_policy_iteration(model, 0.9, 2, tol=100)
        yield name, lambda model=model: rl.value_iteration(model, 0.9, max_iterations=1)
    yield "rl, in place", lambda: rl.value_iteration(world, 0.9, in_place=True)
    yield "rl, MC Basic", lambda: rl.mc_basic(world, 0.9, length=2)
    yield "rl, exploring starts", lambda: rl.mc_exploring_starts(world, 0.9, **short)
    yield "rl, MC ε-greedy", lambda: rl.mc_epsilon_greedy(world, 0.9, epsilon=0.1, **short)
    yield "rl, off-policy MC", lambda: rl.mc_off_policy(world, 0.9, behaviour=policy, **short)
    yield "rl, TD(λ)", lambda: rl.td(world, policy, 0.9, steps=2)
    yield "rl, Sarsa, Q-learning", lambda: rl.sarsa(world, 0.9, steps=2)
    yield "rl, TD-linear", lambda: rl.td_linear(world, policy, phi, 0.9, steps=2, alpha=0.1)
    yield "rl, LSTD", lambda: rl.lstd(world, policy, phi, 0.9, steps=2)
    yield "rl, Q-linear", lambda: rl.q_linear(world, phi, 0.9, steps=2)
    yield "rl, bandits", lambda: rl.play("ucb", phi, steps=2)
    yield "rl, prioritised replay", prioritised
    yield "rl, advantages", lambda: rl.gae(one, one > 0, one, one, 0.9, 0.9)


def agents() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Programs that capture the learning steps of every agent, as its defaults have them."""
    for name, (agent, options) in mg.rl.AGENTS.items():
        yield f"rl, {name}", lambda agent=agent, options=options: agent(options())


def compile_loop(loop: loops.Loop) -> None:
    """Compile a formula for float32: all arguments vary, or one of two is a number."""
    code = loop.formula.__code__
    first = "?" if code.co_varnames[0] == "condition" else "f"
    patterns = [first + "f" * (code.co_argcount - 1)]
    if code.co_argcount == 2:
        patterns += ["fF", "Ff"]
    for pattern in patterns:
        loop._compile(loops.F32, pattern + "F" * len(loop.options))


def main(arguments: list[str] | None = None) -> int:
    """Run everything, with a progress bar; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m minigrad.warmup", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args(arguments)
    if not compiler.enabled():
        print("nothing to compile: Numba is not installed, or MINIGRAD_KERNELS is off")
        return 1
    start = time.perf_counter()
    work: list[tuple[str, Callable[[], Any]]] = [
        (loop.name or loop.formula.__qualname__, lambda loop=loop: compile_loop(loop))
        for loop in loops.LOOPS
    ]
    work += functions()
    if importlib.util.find_spec("gymnasium") is not None:
        work += [*tabular(), *agents()]
    with tqdm(work, unit="kernel") as bar:
        for name, program in bar:
            bar.set_description(name)
            program()
    folder = compiler.cache_folder()
    print(f"{len(work)} programs in {time.perf_counter() - start:.0f} s; kernels are in {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
