"""One tiny op, forward and backward: what a call costs when there is nothing to compute.

    python -m benchmarks.tiny            minigrad against PyTorch, in separate processes, in turn

Each library runs in a process of its own, alternately, with its own defaults; results are compared
before anything is timed. A figure is the median over all rounds of the best of several loops; the
ratio is PyTorch's time over minigrad's.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

LOOP, REPEATS = 2000, 5
NAMES = ("add 8x8", "exp 8x8", "linear 32x64x64")


def workloads(lib: Any) -> dict[str, tuple[Callable[[], None], Callable[[], list]]]:
    """name -> (forward and backward once, the gradients it leaves)."""
    rng = np.random.default_rng(0)

    def leaf(*shape: int) -> Any:
        return lib.from_numpy(rng.standard_normal(shape).astype(np.float32)).requires_grad_()

    def case(f: Callable[..., Any], *leaves: Any) -> tuple[Callable[[], None], Callable[[], list]]:
        seed = lib.ones_like(f(*leaves).detach())

        def run() -> None:
            for x in leaves:
                x.grad = None
            f(*leaves).backward(seed)

        return run, lambda: [x.grad.numpy().tolist() for x in leaves]

    linear = lib.nn.functional.linear
    cases = (
        case(lambda a, b: a + b, leaf(8, 8), leaf(8, 8)),
        case(lambda a: a.exp(), leaf(8, 8)),
        case(linear, leaf(32, 64), leaf(64, 64), leaf(64)),
    )
    return dict(zip(NAMES, cases, strict=True))


def measure(name: str) -> dict[str, Any]:
    """In this process: the gradients, and seconds per run, of every workload."""
    lib = importlib.import_module(name)
    result = {}
    for key, (run, gradients) in workloads(lib).items():
        run()
        grads = gradients()
        for _ in range(LOOP):
            run()
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            for _ in range(LOOP):
                run()
            times.append((time.perf_counter() - start) / LOOP)
        result[key] = {"seconds": min(times), "gradients": grads}
    return result


def in_new_process(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tiny", "--measure", name],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", help="measure one library in this process and print JSON")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    rounds = [
        (in_new_process("minigrad"), in_new_process("torch")) for _ in range(arguments.rounds)
    ]
    print(f"{'forward + backward':20} {'minigrad':>10} {'torch':>10} {'ratio':>7}")
    for key in rounds[0][0]:
        for ours, theirs in zip(*[r[key]["gradients"] for r in rounds[0]], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        ours, theirs = (
            statistics.median(r[i][key]["seconds"] for r in rounds) * 1e6 for i in (0, 1)
        )
        print(f"{key:20} {ours:8.1f}us {theirs:8.1f}us {theirs / ours:6.2f}x")


if __name__ == "__main__":
    main()
