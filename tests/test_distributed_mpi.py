"""The backend mpi under a real MPI, on one machine and across network namespaces as hosts."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import minigrad as mg

ROOT = str(Path(mg.__file__).parents[1])
LIMIT = 150


def mpiexec() -> str:
    """The launcher of the MPI that mpi4py uses: that of the wheel, beside the interpreter."""
    if importlib.util.find_spec("mpi4py") is None:
        pytest.skip("needs mpi4py")
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("needs mpiexec")
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """MPICH leaves the shared memory of a job that was aborted: remove what nobody uses."""
    folder = Path("/dev/shm")
    before = set(folder.glob("mpich_shm_*"))
    yield
    deadline = time.monotonic() + 5  # those that were killed are on their way out
    for path in set(folder.glob("mpich_shm_*")) - before:
        while in_use(path) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not in_use(path):
            path.unlink(missing_ok=True)


def in_use(path: Path) -> bool:
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # it has just ended
            if str(path) in maps.read_text():
                return True
    return False


def start(n: int, name: str, folder: Path, *options: str, timeout: float = 60) -> subprocess.Popen:
    environment = {
        **os.environ, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "TEST_TIMEOUT": str(timeout),
    }  # fmt: skip
    command = [mpiexec(), *options, "-n", str(n), sys.executable, "-m", "tests.mpi_suite"]
    return subprocess.Popen(
        [*command, name, str(folder)],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen, limit: float = LIMIT) -> str:
    try:
        return process.communicate(timeout=limit)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        raise AssertionError(f"not done in {limit} s:\n{process.communicate()[0]}") from None


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(
    "name, n",
    [("collectives", 3), ("calls", 2), ("calls", 3), ("calls", 4),
     ("training", 1), ("training", 2), ("training", 3), ("training", 4), ("same_bits", 4)],
)  # fmt: skip
def test_the_same_suite_under_mpi(name: str, n: int, tmp_path: Path) -> None:
    process = start(n, name, tmp_path)
    out = finish(process)
    assert process.returncode == 0 and out.count(f"{name} done") == n, out


def test_a_hung_rank_is_named_and_the_job_ends(tmp_path: Path) -> None:
    process = start(3, "silent", tmp_path, timeout=4)
    out = finish(process)
    assert process.returncode != 0
    for rank in (0, 2):
        assert (
            "rank 1 did not answer within the timeout of 4 s" in (tmp_path / str(rank)).read_text()
        ), out


# ------------------------------------------------------------------------------ several hosts
HOSTS = ["mghost0", "mghost1", "mghost2"]


def ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True, timeout=20)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[str]]:
    """Namespaces 10.213.7.2, .3, .4 on one bridge, which is 10.213.7.1: as many hosts."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2")
    try:
        ip("link", "add", "mgbridge", "type", "bridge")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode()}")
    try:
        ip("addr", "add", "10.213.7.1/24", "dev", "mgbridge")
        ip("link", "set", "mgbridge", "up")
        for i, name in enumerate(HOSTS):
            ip("netns", "add", name)
            ip("link", "add", f"mgv{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"mgv{i}", "master", "mgbridge", "up")
            ip("-n", name, "addr", "add", f"10.213.7.{i + 2}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield [f"10.213.7.{i + 2}" for i in range(len(HOSTS))]
    finally:
        for name in HOSTS:
            inside = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
            for pid in inside.stdout.split():  # a process keeps its namespace alive
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        for i in range(len(HOSTS)):
            subprocess.run(["ip", "link", "del", f"mgv{i}"], capture_output=True)
        subprocess.run(["ip", "link", "del", "mgbridge"], capture_output=True)


def across(hosts: list[str], tmp_path: Path) -> list[str]:
    """Options of MPICH's mpiexec: a shell to each host that is `ip netns exec`."""
    shell = tmp_path / "shell"
    cases = "\n".join(f"  {h}) n={name};;" for h, name in zip(hosts, HOSTS, strict=True))
    shell.write_text(
        "#!/bin/sh\nwhile [ \"${1#-}\" != \"$1\" ]; do shift; done\nh=$1; shift\n"
        f'case $h in\n{cases}\nesac\nexec ip netns exec $n sh -c "$*"\n'
    )  # fmt: skip
    shell.chmod(0o755)
    return [
        "-launcher", "ssh", "-launcher-exec", str(shell), "-hosts", ",".join(hosts),
        "-localhost", "10.213.7.1", "-ppn", "1",
        # UCX and MPICH see through the namespaces, and would go by shared memory
        "-genv", "UCX_TLS", "tcp,self", "-genv", "MPIR_CVAR_NOLOCAL", "1",
    ]  # fmt: skip


def connected(host: str) -> set[str]:
    """The other hosts that this one has TCP connections with."""
    table = subprocess.run(
        ["ip", "netns", "exec", host, "cat", "/proc/net/tcp"], capture_output=True, text=True
    )
    rows = [line.split() for line in table.stdout.splitlines()[1:]]
    addresses = {f"0{i + 2}07D50A:": name for i, name in enumerate(HOSTS)}  # 10.213.7.i+2
    found = {addresses.get(row[2][:9]) for row in rows if row[3] == "01"}
    return {name for name in found if name is not None} - {host}


@pytest.mark.slow
def test_across_hosts(hosts: list[str], tmp_path: Path) -> None:
    process = start(3, "training", tmp_path, *across(hosts, tmp_path))
    out = finish(process)
    assert process.returncode == 0 and out.count("training done") == 3, out


def test_a_host_that_goes_silent_is_named(hosts: list[str], tmp_path: Path) -> None:
    process = start(3, "cut_off", tmp_path, *across(hosts, tmp_path), timeout=5)
    deadline = time.monotonic() + 60
    while not all((tmp_path / f"on{r}").exists() for r in range(3)):
        assert time.monotonic() < deadline and process.poll() is None, finish(process, 1)
        time.sleep(0.05)
    assert connected(HOSTS[0]) >= {HOSTS[1]} and connected(HOSTS[2]) >= {HOSTS[1]}
    ip("link", "set", "mgv1", "down")
    out = finish(process, 60)  # the first rank to exit ends the job
    assert process.returncode != 0
    for rank in (0, 2):
        found = tmp_path / str(rank)
        assert found.exists(), out
        assert "rank 1 did not answer within the timeout of 5 s" in found.read_text(), out
