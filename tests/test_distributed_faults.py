"""What happens when a rank is killed, hangs, stops or crashes: the others say who it was, and
nothing is left behind.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg
import minigrad.distributed as dist

from .processes import Died, Failed, Group, run

TIMEOUT = 4.0


def leftovers() -> set[str]:
    """Shared memory of ours in the system, and sockets of processes that are gone."""
    found = {p.name for p in Path("/dev/shm").glob("*minigrad*")}
    if os.path.exists("/proc/net/unix"):
        for line in Path("/proc/net/unix").read_text().splitlines():
            name = line.split()[-1]
            if name.startswith("@minigrad-") and not Path("/proc", name.split("-")[1]).exists():
                found.add(name)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    before = leftovers()
    yield
    assert leftovers() <= before


def forever(rank: int, size: int, n: int, flag: str) -> None:
    t = mg.ones(n)
    for step in range(10**9):
        work = dist.all_reduce(t, async_op=bool(step % 2))
        if work is not None:
            work.wait()
        if step == 20:
            Path(f"{flag}{rank}").touch()


def started(flag: Path, size: int) -> None:
    deadline = time.monotonic() + 90
    while not all(Path(f"{flag}{rank}").exists() for rank in range(size)):
        assert time.monotonic() < deadline, f"not started: {flag}"
        time.sleep(0.01)


@pytest.mark.parametrize("n", [10, 3_000_000])
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGSTOP"])
def test_the_others_name_the_rank_that_is_gone(how: str, n: int, tmp_path: Path) -> None:
    group = Group(forever, 4, n, str(tmp_path / "on"), timeout=TIMEOUT)
    started(tmp_path / "on", 4)
    group.kill(2, getattr(signal, how))
    begin = time.monotonic()
    if how == "SIGSTOP":
        for rank in (0, 1, 3):
            assert group.pipes[rank].poll(TIMEOUT + 10)
        assert time.monotonic() - begin < TIMEOUT + 3
        group.kill(2)
    found = group.outcomes()
    assert isinstance(found.pop(2), Died)
    for one in found:
        assert isinstance(one, Failed)
        words = "rank 2 did not answer" if how == "SIGSTOP" else "rank 2 died"
        assert words in one.text, one.text


def one_misbehaves(rank: int, size: int, how: str) -> str:
    dist.barrier()
    if rank == 1:
        if how == "crash":
            raise ZeroDivisionError("of rank 1")
        if how == "exit":
            os._exit(3)
        if how == "hang":
            time.sleep(3 * TIMEOUT)
            return "slept"
        dist.destroy_process_group()
        return "left"
    works = [dist.all_reduce(mg.ones(10), async_op=True) for _ in range(3)]
    texts = []
    for work in works:
        with pytest.raises(dist.DistBackendError) as caught:
            work.wait()
        texts.append(str(caught.value))
    assert all("has failed before" in text for text in texts[1:])
    with pytest.raises(dist.DistBackendError, match="has failed before"):
        dist.barrier()
    return texts[0]


@pytest.mark.parametrize(
    "how, says",
    [
        ("crash", "rank 1 died"),
        ("exit", "rank 1 died"),
        ("hang", "rank 1 did not answer within the timeout of 4 s"),
        ("leave", "rank 1 has left the group"),
    ],
)
def test_crash_exit_hang_and_leaving(how: str, says: str) -> None:
    found = Group(one_misbehaves, 3, how, timeout=TIMEOUT).outcomes()
    assert says in found[0] and says in found[2]


def receive_in_vain(rank: int, size: int) -> str:
    if rank == 1:
        time.sleep(TIMEOUT)
        dist.barrier()
        return ""
    with pytest.raises(dist.DistTimeoutError) as caught:
        dist.recv(mg.ones(1), 1)
    dist.barrier()
    return str(caught.value)


def test_a_message_that_does_not_come() -> None:
    found = run(receive_in_vain, 2, timeout=TIMEOUT)
    assert found[0] == "recv: nothing came from rank 1 with tag 0 within 4 s"


def leave_early(rank: int, size: int) -> None:
    if rank == 1:
        dist.destroy_process_group()
        return
    with pytest.raises(dist.DistBackendError, match="rank 1"):
        dist.recv(mg.ones(1), 1)


def test_a_message_from_a_rank_that_has_left() -> None:
    run(leave_early, 2, timeout=TIMEOUT)


# ------------------------------------------------------------------------------ many kills
def train(rank: int, size: int, folder: str, seed: int) -> float:
    """Steps with a checkpoint after each, from the last checkpoint on."""
    import minigrad.distributed.checkpoint as dcp

    mg.manual_seed(0)
    model = mg.nn.parallel.DistributedDataParallel(mg.nn.Linear(20, 20))
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01)
    state = {"model": model.module.state_dict(), "step": 0}
    path = f"{folder}/checkpoint"
    if os.path.exists(path):
        dcp.load(state, checkpoint_id=path)
        model.module.load_state_dict(state["model"])
    model(mg.zeros(4, 20)).sum().backward()  # kernels are loaded before kills are due
    Path(f"{folder}/on{seed}-{rank}").touch()
    while state["step"] < 10**9:
        optimizer.zero_grad()
        x = mg.full((4, 20), float(state["step"] % 7 + rank))
        model(x).square().mean().backward()
        optimizer.step()
        state["step"] += 1
        state["model"] = model.module.state_dict()
        dcp.save(state, checkpoint_id=path)
    return 0.0


KILLS = int(os.environ.get("MINIGRAD_TEST_KILLS", "6"))


@pytest.mark.slow
@pytest.mark.timeout(600 + 20 * KILLS)
def test_random_kills_during_training(tmp_path: Path) -> None:
    """MINIGRAD_TEST_KILLS=200 is the long run: no hang, no damaged checkpoint, nothing left."""
    import minigrad.distributed.checkpoint as dcp

    rng = random.Random(os.environ.get("MINIGRAD_TEST_SEED", "0"))
    step = 0
    for kill in range(KILLS):
        group = Group(train, 3, str(tmp_path), kill, timeout=5)
        try:
            if kill % 3:  # one kill in three may come before they have met
                started(tmp_path / f"on{kill}-", 3)
            time.sleep(rng.uniform(0, 0.4))
            victim = rng.randrange(3)
            group.kill(victim)
            found = group.outcomes()
        finally:
            group.end()
        assert isinstance(found.pop(victim), Died)
        for one in found:
            assert isinstance(one, Failed), one
            if kill % 3:
                assert f"rank {victim}" in one.text, one
        if (tmp_path / "checkpoint").exists():
            state: dict[str, Any] = {"model": {"weight": mg.zeros(20, 20), "bias": mg.zeros(20)}}
            state["step"] = 0
            dcp.load(state, checkpoint_id=tmp_path / "checkpoint")
            assert state["step"] >= step
            step = state["step"]
    assert step > 0
