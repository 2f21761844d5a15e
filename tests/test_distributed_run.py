"""The launcher: environment, output, failures, restarts, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import minigrad as mg
from minigrad.distributed import run

from .test_distributed import free_port

LIMIT = 120


def launch(*args: str, folder: Path, script: str = "", **environment: str) -> subprocess.Popen[str]:
    """The launcher in a process of its own."""
    (folder / "script.py").write_text(script)
    root = str(Path(mg.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-m", "minigrad.distributed.run", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


ENVIRONMENT = """
import os, sys
names = "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE GROUP_RANK TORCHELASTIC_RESTART_COUNT"
print(*[os.environ[n] for n in names.split()], sys.argv[1:])
print("to stderr", file=sys.stderr)
"""


def test_the_environment_is_torchruns_and_lines_have_the_rank(tmp_path: Path) -> None:
    process = launch(
        "--nproc_per_node=2", "--nnodes", "2", "--node-rank", "1", "script.py", "--x", "1",
        folder=tmp_path, script=ENVIRONMENT,
    )  # fmt: skip
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert sorted(out.splitlines()) == [
        "[2] 2 0 4 2 1 0 ['--x', '1']",
        "[3] 3 1 4 2 1 0 ['--x', '1']",
    ]
    assert sorted(err.splitlines()) == ["[2] to stderr", "[3] to stderr"]


TOGETHER = """
import minigrad as mg
dist = mg.distributed
dist.init_process_group()
t = mg.tensor(float(dist.get_rank()))
dist.all_reduce(t)
print("sum", t.item(), dist.is_torchelastic_launched(), dist.get_node_local_rank())
dist.destroy_process_group()
"""


def test_a_script_that_works_together(tmp_path: Path) -> None:
    process = launch("--nproc-per-node", "3", "script.py", folder=tmp_path, script=TOGETHER)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert sorted(out.splitlines()) == [f"[{r}] sum 3.0 True {r}" for r in range(3)]


RESUMES = """
import os, pathlib
import minigrad as mg
dist = mg.distributed
dist.init_process_group(timeout=20)
state = {"step": 0}
if os.path.exists("saved"):
    state = mg.load("saved")
print("from step", state["step"], "attempt", os.environ["TORCHELASTIC_RESTART_COUNT"])
while state["step"] < 6:
    dist.all_reduce(mg.ones(3))
    state["step"] += 1
    if dist.get_rank() == 0:
        mg.save(state, "saved")
    dist.barrier()
    if state["step"] in (2, 4) and dist.get_rank() == 1 and state["step"] // 2 > int(
        os.environ["TORCHELASTIC_RESTART_COUNT"]
    ):
        os.kill(os.getpid(), 9)
print("done")
dist.destroy_process_group()
"""


def test_restarts_resume_from_the_checkpoint(tmp_path: Path) -> None:
    args = ("--nproc-per-node", "2", "--max-restarts", "2", "script.py")
    process = launch(*args, folder=tmp_path, script=RESUMES)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert out.count("done") == 2
    for step, attempt in ((0, 0), (2, 1), (4, 2)):
        assert out.count(f"from step {step} attempt {attempt}") == 2
    assert "rank 1 died" in err and "rank 1 failed with signal SIGKILL; starting again, 1" in err


def test_two_machines_meet_and_start_again_together(tmp_path: Path) -> None:
    """A launcher for each machine (here both are this one); the rank that dies is the second's."""
    port = str(free_port())
    nodes = [
        launch(
            "--nproc-per-node", "1", "--nnodes", "2", "--node-rank", str(node), "--master-port",
            port, "--max-restarts", "2", "script.py", folder=tmp_path, script=RESUMES,
        )
        for node in range(2)
    ]  # fmt: skip
    for node, process in enumerate(nodes):
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, err
        assert out.count("done") == 1
        for step, attempt in ((0, 0), (2, 1), (4, 2)):
            assert f"[{node}] from step {step} attempt {attempt}" in out, err


def test_a_failure_ends_all_with_its_exit_code(tmp_path: Path) -> None:
    script = "import os, time\nif os.environ['RANK'] == '1': raise SystemExit(7)\ntime.sleep(600)"
    process = launch("--nproc-per-node", "3", "script.py", folder=tmp_path, script=script)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 7 and "rank 1 failed with exit code 7" in err


def spawned(i: int, how: str, folder: str) -> None:
    dist = mg.distributed
    dist.init_process_group(init_method=f"file://{folder}/meet", rank=i, world_size=2, timeout=60)
    t = mg.tensor(i + 1.0)
    dist.all_reduce(t)
    if i == 1 and how == "raises":
        raise ZeroDivisionError(f"the sum is {t.item()}" + "!" * 200_000)
    if i == 1 and how == "exits":
        os._exit(3)
    if how == "ends":
        (Path(folder) / str(i)).write_text(str(t.item()))
        dist.destroy_process_group()
    else:
        time.sleep(600)


def test_spawn(tmp_path: Path) -> None:
    multiprocessing = mg.multiprocessing
    multiprocessing.spawn(spawned, ("ends", str(tmp_path)), nprocs=2)
    assert [(tmp_path / str(i)).read_text() for i in range(2)] == ["3.0", "3.0"]
    with pytest.raises(multiprocessing.ProcessRaisedException, match=r"(?s)Process 1.*sum is 3\.0"):
        multiprocessing.spawn(spawned, ("raises", str(tmp_path)), nprocs=2)
    (tmp_path / "meet").unlink()  # of a job that failed
    started = multiprocessing.spawn(spawned, ("exits", str(tmp_path)), nprocs=2, join=False)
    with pytest.raises(multiprocessing.ProcessExitedException, match="process 1.*exit code 3"):
        while not started.join():
            pass
    assert not any(map(_alive, started.pids()))


WAITS = """
import os, signal, sys, time
def handler(number, frame):
    print("got", signal.Signals(number).name)
    sys.exit(0)
signal.signal(signal.SIGTERM, handler)
print("pid", os.getpid())
time.sleep(600)
"""


def _pids(process: subprocess.Popen[str], n: int) -> list[int]:
    lines = [process.stdout.readline() for _ in range(n)]  # type: ignore[union-attr]
    return [int(line.split()[-1]) for line in lines]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_signals_are_forwarded(tmp_path: Path) -> None:
    process = launch("--nproc-per-node", "2", "script.py", folder=tmp_path, script=WAITS)
    pids = _pids(process, 2)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=LIMIT)
    assert out.count("got SIGTERM") == 2
    assert process.returncode == 128 + signal.SIGTERM
    assert not any(map(_alive, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells only on Linux")
def test_a_killed_launcher_leaves_no_orphans(tmp_path: Path) -> None:
    process = launch("--nproc-per-node", "2", "script.py", folder=tmp_path, script=WAITS)
    pids = _pids(process, 2)
    process.kill()
    process.communicate(timeout=LIMIT)
    deadline = time.monotonic() + 10
    while any(map(_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "args, says",
    [
        (["--nproc-per-node", "none", "x.py"], "--nproc-per-node"),
        (["--nnodes", "2", "--node-rank", "2", "x.py"], "--node-rank 2 of --nnodes 2"),
        (["--nnodes", "2", "--master-addr", "10.1.1.1", "x.py"], "MASTER_SECRET"),
        (["--nnodes", "2", "--standalone", "x.py"], "--standalone"),
    ],
)
def test_options_that_do_not_fit(
    args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run.main(args)
    assert caught.value.code == 2 and says in capsys.readouterr().err
