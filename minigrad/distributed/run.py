"""The launcher: starts the processes of one job and watches them.

    python -m minigrad.distributed.run --nproc-per-node 2 train.py --epochs 3
    python -m minigrad.distributed.run --nnodes 2 --node-rank 0 --master-addr host0 ... train.py

Each process finds in its environment what torchrun sets: RANK, LOCAL_RANK, WORLD_SIZE,
LOCAL_WORLD_SIZE, GROUP_RANK, MASTER_ADDR, MASTER_PORT, TORCHELASTIC_RUN_ID,
TORCHELASTIC_RESTART_COUNT, TORCHELASTIC_MAX_RESTARTS; `init_process_group()` reads them. Its output
comes with its rank before every line.

When one process fails, the others are stopped, and all are started again, at most --max-restarts
times: the script continues from its last checkpoint. SIGINT, SIGTERM and SIGHUP are passed on. If
the launcher itself is killed, its processes are, too.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, Any

from .rendezvous import DEFAULT_PORT
from .tcp_store import SECRET, is_loopback

GRACE = 10.0  # seconds from SIGTERM to SIGKILL
FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP")


def parser() -> argparse.ArgumentParser:
    """The command line; torchrun's spellings with underscores are understood, too."""
    p = argparse.ArgumentParser(
        prog="python -m minigrad.distributed.run",
        description="Start a script in several processes that train together.",
    )

    def option(name: str, **settings: Any) -> None:
        p.add_argument(f"--{name}", f"--{name.replace('-', '_')}", **settings)

    option("nproc-per-node", default="1", help="processes on this machine, or auto: one a core")
    p.add_argument("--nnodes", type=int, default=1, help="machines (each runs this launcher)")
    option("node-rank", type=int, default=0, help="which of them this is")
    option("master-addr", default="127.0.0.1", help="address of machine 0")
    option("master-port", type=int, default=None, help="its port; on one machine a free one")
    option("max-restarts", type=int, default=0, help="how often to start again after a failure")
    p.add_argument("--standalone", action="store_true", help="one machine and a free port")
    p.add_argument("-m", "--module", action="store_true", help="the script is a module's name")
    p.add_argument("script", help="the program")
    p.add_argument("args", nargs=argparse.REMAINDER, help="its arguments")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is that of the first process that failed, or 0."""
    options = parser().parse_args(argv)
    try:
        job = Job(options)
    except ValueError as error:
        parser().error(str(error))
    return job.run()


class Job:
    """The processes of one machine. ValueError for options that do not fit together."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.local_size = _count(options.nproc_per_node)
        if not 0 <= options.node_rank < options.nnodes:
            raise ValueError(f"--node-rank {options.node_rank} of --nnodes {options.nnodes}")
        if options.nnodes > 1 and options.standalone:
            raise ValueError("--standalone means one machine")
        if options.nnodes > 1 and options.master_port is None:
            options.master_port = DEFAULT_PORT
        self.secret = os.environ.get(SECRET, "")
        if not self.secret:
            if options.nnodes > 1 and not is_loopback(options.master_addr):
                raise ValueError(f"several machines need the same secret: set {SECRET}")
            self.secret = secrets.token_hex(32) if options.nnodes == 1 else ""
        self.run_id = secrets.token_hex(8)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.signal = 0
        self.printing = threading.Lock()

    def run(self) -> int:
        """Start, watch, start again; the exit code."""
        for name in FORWARDED:
            signal.signal(getattr(signal, name), self._forward)
        if self.options.master_port is not None:
            return self._attempts()
        with socket.socket() as port:
            # bound, but not listening: on Linux rank 0 may listen there, and nobody else gets it
            port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port.bind(("127.0.0.1", 0))
            self.options.master_port = port.getsockname()[1]
            if sys.platform != "linux":
                port.close()
            return self._attempts()

    def _attempts(self) -> int:
        for attempt in range(self.options.max_restarts + 1):
            code, failed = self._attempt(attempt)
            if code == 0 or self.signal:
                break
            left = self.options.max_restarts - attempt
            self._say(
                f"rank {failed} failed with {_describe(code)}"
                + (f"; starting again, {left} restarts left" if left else "")
            )
        return 128 + self.signal if self.signal else code if code >= 0 else 128 - code

    def _attempt(self, attempt: int) -> tuple[int, int]:
        """(exit code, rank) of the first process that fails, or (0, -1)."""
        readers = []
        self.processes = []
        for local in range(self.local_size):
            process = self._start(local, attempt)
            self.processes.append(process)
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                thread = threading.Thread(target=self._copy, args=(local, source, target))
                thread.start()
                readers.append(thread)
        try:
            result = self._watch()
        finally:
            self._stop()
        for thread in readers:
            thread.join()
        return result

    def _start(self, local: int, attempt: int) -> subprocess.Popen[bytes]:
        o = self.options
        environment = {
            **os.environ,
            "RANK": str(o.node_rank * self.local_size + local),
            "LOCAL_RANK": str(local),
            "WORLD_SIZE": str(o.nnodes * self.local_size),
            "LOCAL_WORLD_SIZE": str(self.local_size),
            "GROUP_RANK": str(o.node_rank),
            "GROUP_WORLD_SIZE": str(o.nnodes),
            "ROLE_RANK": str(o.node_rank * self.local_size + local),
            "ROLE_WORLD_SIZE": str(o.nnodes * self.local_size),
            "MASTER_ADDR": o.master_addr,
            "MASTER_PORT": str(o.master_port),
            "TORCHELASTIC_RUN_ID": self.run_id,
            "TORCHELASTIC_RESTART_COUNT": str(attempt),
            "TORCHELASTIC_MAX_RESTARTS": str(o.max_restarts),
            SECRET: self.secret,
        }
        if self.local_size > 1:  # as torchrun: the processes share the cores
            environment.setdefault("OMP_NUM_THREADS", "1")
        command = [sys.executable, "-u", *(["-m"] if o.module else []), o.script, *o.args]
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    def _copy(self, local: int, source: IO[bytes] | None, target: IO[str]) -> None:
        """Every line with the rank before it; lines of several processes do not mix."""
        rank = self.options.node_rank * self.local_size + local
        prefix = f"[{rank}] "
        for line in source or ():
            with self.printing:
                target.write(prefix + line.decode(errors="replace").rstrip("\n") + "\n")
                target.flush()

    def _watch(self) -> tuple[int, int]:
        """Until all have ended well, one has not, or a signal came."""
        while True:
            codes = [process.poll() for process in self.processes]
            for local, code in enumerate(codes):
                if code not in (None, 0):
                    return int(code or 0), self.options.node_rank * self.local_size + local
            if all(code == 0 for code in codes):
                return 0, -1
            time.sleep(0.02)

    def _stop(self) -> None:
        """End those that still run: politely, then not."""
        running = [p for p in self.processes if p.poll() is None]
        if running and not self.signal:
            # they may be about to find out by themselves, and to say which rank it was
            deadline = time.monotonic() + 1.0
            while running and time.monotonic() < deadline:
                running = [p for p in running if p.poll() is None]
                time.sleep(0.02)
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _forward(self, number: int, frame: Any) -> None:
        self.signal = number
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def _say(self, text: str) -> None:
        with self.printing:
            print(f"[launcher] {text}", file=sys.stderr, flush=True)


def _die_with_parent() -> None:
    """In the new process: be killed when the launcher dies, however that happens."""
    death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)


def _count(text: str) -> int:
    if text in ("auto", "cpu"):
        return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise ValueError(f"--nproc-per-node: expected a number above 0, or auto, but got {text!r}")


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


if __name__ == "__main__":
    sys.exit(main())
