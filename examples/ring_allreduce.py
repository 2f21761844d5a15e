"""The ring all-reduce, drawn from a run of it: who has which part of whose sum after each step.

    python examples/ring_allreduce.py [--ranks 4] [--out out]

The algorithm is minigrad's own (minigrad/distributed/patterns/ring.py); here the ranks are threads
of one process, and what they send goes through queues that take notes.
"""

from __future__ import annotations

import argparse
import queue
import threading
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.distributed import ReduceOp
from minigrad.distributed.patterns import ring


class Thread:
    """One rank: `exchange` of the algorithms, by queues, and a picture after each step."""

    def __init__(self, rank: int, size: int, array: np.ndarray, queues: Any):
        self.rank, self.size, self.array, self.queues = rank, size, array, queues
        self.pictures = [array.copy()]
        self.sent = 0

    def exchange(self, to: Any, outgoing: Any, source: Any, incoming: Any, combine: Any = None):
        self.queues[self.rank, to].put(outgoing.copy())
        self.sent += outgoing.size
        piece = self.queues[source, self.rank].get()
        if combine is None:
            incoming[...] = piece
        else:
            combine(incoming, piece, out=incoming)
        self.pictures.append(self.array.copy())


def run(size: int) -> list[list[np.ndarray]]:
    """pictures[rank][step]: the array of N parts; rank r's own value is 2**r, so that a sum tells
    whose values are in it.
    """
    queues = {(a, b): queue.Queue() for a in range(size) for b in range(size)}
    ranks = [Thread(r, size, np.full(size, 2**r, np.int64), queues) for r in range(size)]
    threads = [
        threading.Thread(target=ring.all_reduce, args=(r, r.array, np.add, ReduceOp.SUM))
        for r in ranks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for r in ranks:
        assert (r.array == 2**size - 1).all() and r.sent == 2 * (size - 1)
    return [r.pictures for r in ranks]


def letters(value: int, size: int) -> str:
    """Whose values a sum holds."""
    return "".join(chr(ord("a") + r) for r in range(size) if value >> r & 1)


def draw(pictures: list[list[np.ndarray]], path: Path) -> None:
    """One column a step, one row a rank; complete parts are green, arrows show what moves next."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    size, steps = len(pictures), len(pictures[0])
    figure, axes = plt.subplots(figsize=(1.75 * steps, 0.62 * size + 0.9), layout="constrained")
    width, step_width = 1.0, size + 1.6
    for step in range(steps):
        for rank in range(size):
            x0, y = step * step_width, -rank * 1.5
            for part in range(size):
                value = int(pictures[rank][step][part])
                full = value == 2**size - 1
                changed = step > 0 and value != pictures[rank][step - 1][part]
                color = "#8fd19e" if full else "#ffd28a" if changed else "#eeeeee"
                box = plt.Rectangle((x0 + part, y), width, 1, facecolor=color, edgecolor="black")
                axes.add_patch(box)
                axes.text(
                    x0 + part + 0.5, y + 0.5, letters(value, size), ha="center", va="center",
                    fontsize=8,
                )  # fmt: skip
        phase = "start" if step == 0 else "reduce-scatter" if step < size else "all-gather"
        label = phase if step == 0 else f"step {step}\n{phase}"
        axes.text(step * step_width + size / 2, 1.4, label, ha="center", va="bottom", fontsize=9)
    for rank in range(size):
        axes.text(-0.3, -rank * 1.5 + 0.5, f"rank {rank}", ha="right", va="center", fontsize=9)
    axes.set_xlim(-2.2, steps * step_width)
    axes.set_ylim(-size * 1.5 + 0.3, 3.2)
    axes.set_aspect("equal")
    axes.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(argv: list[str] | None = None) -> Path:
    """Run, print and draw; the path of the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args(argv)
    size = options.ranks
    pictures = run(size)
    for step in range(2 * size - 1):
        rows = [" ".join(letters(int(v), size).ljust(size) for v in p[step]) for p in pictures]
        print(f"step {step}:  " + "  |  ".join(rows))
    path = options.out / "ring_allreduce.png"
    draw(pictures, path)
    print(f"drawn in {path}; each rank has sent 2(N-1)/N = {2 * (size - 1) / size:g} of its bytes")
    return path


if __name__ == "__main__":
    main()
