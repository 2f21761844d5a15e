"""Two processes on one machine, beside PyTorch's: all-reduce and a data-parallel training step.

    python -m benchmarks.distributed                      a table
    python -m benchmarks.distributed --trace out/ddp      also out/ddp.json (for chrome://tracing or
                                                          perfetto) and out/ddp.png: the overlap

minigrad's shared memory against gloo, in turn, round after round, each pair in processes of its own
with one thread each. The results of the two libraries are compared first.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 2
LIBRARIES = ("minigrad", "torch")
MIB = 1 << 20


def model(lib: Any, name: str) -> Any:
    """The networks of the step."""
    nn = lib.nn
    if name == "mlp":  # 42 MiB of gradients
        layers = [nn.Linear(512, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU()]
        layers += [nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 512)]
        return nn.Sequential(*layers), (32, 512)
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [
        nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
    ]
    layers += [nn.Flatten(), nn.Linear(128, 10)]
    return nn.Sequential(*layers), (8, 3, 32, 32)


class Worker:
    """One process of one library."""

    def __init__(self, library: str, rank: int, folder: str):
        if library == "torch":
            import torch as lib

            lib.set_num_threads(1)
            self.backend = "gloo"
        else:
            import minigrad as lib

            self.backend = "shm"
        self.lib: Any = lib
        self.library, self.rank, self.dist = library, rank, lib.distributed
        self.dist.init_process_group(
            self.backend, init_method=f"file://{folder}/{library}", rank=rank, world_size=SIZE
        )

    def all_reduce(self, mib: float, seconds: float) -> float:
        """Median seconds of an all-reduce of so many MiB."""
        t = self.lib.ones(int(mib * MIB / 4))

        def once() -> None:
            t.fill_(1.0)
            self.dist.barrier()
            begin = time.perf_counter()
            self.dist.all_reduce(t)
            times.append(time.perf_counter() - begin)

        times: list[float] = []
        self._repeat(once, times, seconds)
        assert float(t[-1]) == SIZE
        return statistics.median(times)

    def step(self, name: str, seconds: float) -> tuple[float, float]:
        """Median seconds of a training step, and the loss of the tenth one."""
        net, shape = self._same_weights(name)
        ddp = self.lib.nn.parallel.DistributedDataParallel(net)
        optimizer = self.lib.optim.SGD(ddp.parameters(), lr=0.01)
        x = self._data(shape)
        losses: list[float] = []

        def once() -> None:
            begin = time.perf_counter()
            optimizer.zero_grad()
            loss = (ddp(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            times.append(time.perf_counter() - begin)

        times: list[float] = []
        self._repeat(once, times, seconds)
        return statistics.median(times), losses[9]

    def _same_weights(self, name: str) -> tuple[Any, Any]:
        net, shape = model(self.lib, name)
        rng = np.random.default_rng(0)
        with self.lib.no_grad():
            for p in net.parameters():
                bound = 1 / np.sqrt(p.numel() / p.shape[0])
                values = rng.uniform(-bound, bound, tuple(p.shape)).astype(np.float32)
                p.copy_(self.lib.tensor(values))
        return net, shape

    def _data(self, shape: Any) -> Any:
        rng = np.random.default_rng(1 + self.rank)
        return self.lib.tensor(rng.standard_normal(shape).astype(np.float32))

    def _repeat(self, once: Any, times: list[float], seconds: float) -> None:
        """Ten times to warm up, then for so long; both ranks equally often."""
        for _ in range(10):
            once()
        each = self.lib.tensor([statistics.median(times)])
        self.dist.all_reduce(each)
        times.clear()
        for _ in range(max(5, int(seconds / (float(each[0]) / SIZE)))):
            once()

    def trace(self, name: str) -> list[dict[str, Any]]:
        """What computes and what communicates in one step: events of chrome's tracing format."""
        net, shape = self._same_weights(name)
        ddp = self.lib.nn.parallel.DistributedDataParallel(net, bucket_cap_mb=4)
        x = self._data(shape)
        events: list[dict[str, Any]] = []

        def note(what: str, row: str, begin: float) -> None:
            events.append(
                {"name": what, "ph": "X", "pid": self.rank, "tid": row, "ts": begin * 1e6,
                 "dur": (time.time() - begin) * 1e6}
            )  # fmt: skip

        backend = ddp.process_group.backend
        reduce = backend.all_reduce

        def timed(array: Any, op: Any) -> None:
            begin = time.time()
            reduce(array, op)
            note(f"all_reduce {array.nbytes / MIB:.1f} MiB", "communication", begin)

        backend.all_reduce = timed
        for _ in range(8):
            events.clear()
            ddp.zero_grad()
            self.dist.barrier()
            begin = time.time()
            loss = (ddp(x) ** 2).mean()
            note("forward", "computation", begin)
            started, last = time.time(), [time.time()]

            def layer(p: Any, last: list[float] = last) -> None:
                note(f"gradient {tuple(p.shape)}", "computation", last[0])
                last[0] = time.time()

            handles = [
                p.register_post_accumulate_grad_hook(layer) for p in ddp.parameters()
            ]  # after those of the reducer
            loss.backward()
            for handle in handles:
                handle.remove()
            note("backward", "whole", started)
        backend.all_reduce = reduce
        return events


def serve(library: str, rank: int, folder: str) -> None:
    """Do what is asked for on stdin, a JSON line each; answer on stdout."""
    worker = Worker(library, rank, folder)
    for line in sys.stdin:
        method, *args = json.loads(line)
        print(json.dumps(getattr(worker, method)(*args)), flush=True)
    worker.dist.destroy_process_group()


class Pair:
    """Both processes of one library."""

    def __init__(self, library: str, folder: str):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        environment["OPENBLAS_NUM_THREADS"] = "1"
        command = [sys.executable, "-m", "benchmarks.distributed", "--serve", library, folder]
        self.processes = [
            subprocess.Popen(
                [*command, str(rank)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env=environment,
            )
            for rank in range(SIZE)
        ]  # fmt: skip

    def ask(self, *request: Any) -> list[Any]:
        for process in self.processes:
            process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        return [json.loads(process.stdout.readline()) for process in self.processes]  # type: ignore[union-attr]

    def close(self) -> None:
        for process in self.processes:
            process.stdin.close()  # type: ignore[union-attr]
        for process in self.processes:
            process.wait(30)


def table(pairs: dict[str, Pair], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Medians over rounds, taken in turn."""
    rows: list[dict[str, Any]] = []
    tasks: list[tuple[str, tuple[Any, ...]]] = [
        (f"all_reduce {mib:g} MiB", ("all_reduce", mib, seconds)) for mib in (0.001, 1, 25)
    ]
    tasks += [(f"DDP step {name}", ("step", name, seconds)) for name in ("mlp", "convnet")]
    for label, request in tasks:
        found: dict[str, list[float]] = {name: [] for name in pairs}
        losses: dict[str, float] = {}
        for _ in range(rounds):
            for name, pair in pairs.items():
                answers = pair.ask(*request)
                if request[0] == "step":
                    losses[name] = answers[0][1]
                    answers = [answer[0] for answer in answers]
                found[name].append(max(answers))
        if len(losses) > 1:
            np.testing.assert_allclose(*losses.values(), rtol=1e-4)
        medians = {name: statistics.median(times) for name, times in found.items()}
        rows.append({"what": label, "seconds": medians, "rounds": found})
        text = "   ".join(f"{name} {1e3 * s:8.3f} ms" for name, s in medians.items())
        ratio = medians.get("torch", 0.0) / medians["minigrad"]
        print(f"{label:24} {text}   {ratio:5.2f} times" if ratio else f"{label:24} {text}")
    return rows


def overlap(events: list[dict[str, Any]]) -> float:
    """The part of the communication of rank 0 that lies inside its computation of gradients."""
    mine = [e for e in events if e["pid"] == 0]
    compute = [e for e in mine if e["tid"] == "computation"]
    end = max(e["ts"] + e["dur"] for e in compute)
    talk = [e for e in mine if e["tid"] == "communication"]
    inside = sum(max(0.0, min(end, e["ts"] + e["dur"]) - e["ts"]) for e in talk)
    return inside / sum(e["dur"] for e in talk)


def draw(events: list[dict[str, Any]], path: Path) -> None:
    """The step as bars: for each rank a row that computes and one that communicates."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    start = min(e["ts"] for e in events)
    figure, axes = plt.subplots(figsize=(9, 2.6), layout="constrained")
    rows = [(r, t) for r in range(SIZE) for t in ("computation", "communication")]
    for e in events:
        if (e["pid"], e["tid"]) in rows:
            y = len(rows) - rows.index((e["pid"], e["tid"]))
            color = "tab:blue" if e["tid"] == "computation" else "tab:orange"
            left, width = (e["ts"] - start) / 1e3, e["dur"] / 1e3
            axes.barh(y, width, left=left, color=color, edgecolor="white", linewidth=0.8)
    axes.set_yticks(range(len(rows), 0, -1), [f"rank {r} {t}" for r, t in rows])
    axes.set_xlabel("milliseconds from the start of forward")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure and print."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    p.add_argument("--json", type=Path, help="write the figures here")
    p.add_argument("--trace", type=Path, help="write the trace to this name + .json and .png")
    p.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.serve:
        library, folder, rank = options.serve
        serve(library, int(rank), folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        pairs = {}
        for name in LIBRARIES:
            if name == "minigrad" or importlib.util.find_spec(name):
                pairs[name] = Pair(name, folder)
        try:
            rows = table(pairs, options.rounds, options.seconds) if options.rounds else []
            if options.trace:
                events = [e for one in pairs["minigrad"].ask("trace", "mlp") for e in one]
                options.trace.parent.mkdir(parents=True, exist_ok=True)
                options.trace.with_suffix(".json").write_text(json.dumps(events))
                draw(events, options.trace.with_suffix(".png"))
                print(f"{overlap(events):.0%} of the communication lies inside backward")
        finally:
            for pair in pairs.values():
                pair.close()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
