"""Data-parallel training: N processes with batch b do what one does with batch N·b."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.distributed as dist
import minigrad.distributed.checkpoint as dcp
from minigrad.distributed.algorithms.ddp_comm_hooks import default_hooks as hooks
from minigrad.distributed.algorithms.ddp_comm_hooks import powerSGD_hook as power
from minigrad.distributed.optim import ZeroRedundancyOptimizer
from minigrad.nn.parallel import DistributedDataParallel as DDP
from minigrad.nn.parallel import NaiveDistributedDataParallel
from minigrad.nn.parallel.buckets import assign_buckets

from .processes import Group, run

B, STEPS = 2, 4


def network(lib: Any, norm: bool = False) -> Any:
    nn = lib.nn
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8)]
    layers += [nn.BatchNorm1d(8)] if norm else []
    return nn.Sequential(*layers, nn.Tanh(), nn.Linear(8, 3))


def batches(size: int, step: int, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """The whole batch of a step: B samples for each rank."""
    rng = np.random.default_rng(step)
    x = rng.standard_normal((B * size, 1, 6, 6)).astype(dtype)
    return x, rng.integers(0, 3, B * size)


def share(rank: int, x: Any) -> Any:
    return mg.tensor(x[rank * B : (rank + 1) * B])


def parameters(model: Any) -> np.ndarray:
    return np.concatenate([p.detach().numpy().reshape(-1) for p in model.parameters()])


def train_alone(size: int, accumulate: bool = False) -> np.ndarray:
    mg.manual_seed(0)
    model = network(mg).double()
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(STEPS):
        x, y = batches(size, step)
        optimizer.zero_grad()
        if accumulate:
            for rank in range(size):
                loss = mg.nn.functional.cross_entropy(model(share(rank, x)), share(rank, y))
                (loss / size).backward()
        else:
            mg.nn.functional.cross_entropy(model(mg.tensor(x)), mg.tensor(y)).backward()
        optimizer.step()
    return parameters(model)


def train_together(rank: int, size: int, how: str, zero: bool = False) -> np.ndarray:
    mg.manual_seed(rank)  # rank 0's weights count
    model = network(mg).double()
    options: dict[str, Any] = {
        "naive": {},
        "plain": {},
        "view": {"gradient_as_bucket_view": True},
        "small": {"bucket_cap_mb": 0.0005},
        "unused": {"find_unused_parameters": True, "gradient_as_bucket_view": True},
        "static": {"static_graph": True},
        "kept": {},
        "hook": {},
    }[how]
    wrapped = NaiveDistributedDataParallel(model) if how == "naive" else DDP(model, **options)
    if how == "hook":
        wrapped.register_comm_hook(None, hooks.allreduce_hook)
    optimizer = mg.optim.SGD(wrapped.parameters(), lr=0.1, momentum=0.9)
    for step in range(STEPS):
        x, y = batches(size, step)
        optimizer.zero_grad(set_to_none=how != "kept")
        mg.nn.functional.cross_entropy(wrapped(share(rank, x)), share(rank, y)).backward()
        optimizer.step()
    return parameters(model)


def every_way(rank: int, size: int) -> dict[str, np.ndarray]:
    ways = ["naive", "plain", "view", "small", "unused", "static", "kept", "hook"]
    return {how: train_together(rank, size, how) for how in ways}


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_n_ranks_do_what_one_does_with_the_whole_batch(size: int) -> None:
    found = run(every_way, size)
    expected = train_alone(size)
    np.testing.assert_allclose(train_alone(size, accumulate=True), expected, rtol=1e-10, atol=1e-12)
    for how, ours in found[0].items():
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12, err_msg=how)
        for other in found[1:]:
            assert np.array_equal(other[how], ours), how  # to the last bit


def beside_torch(rank: int, size: int, folder: str, norm: bool) -> tuple[np.ndarray, np.ndarray]:
    import torch

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/gloo", rank=rank, world_size=size
    )
    torch.manual_seed(0)
    # a bias before batch norm has no gradient but rounding, which Adam would blow up: in float64
    dtype = np.float64 if norm else np.float32
    theirs, ours = network(torch, norm), network(mg, norm)
    if norm:
        theirs, ours = theirs.double(), ours.double()
    ours.load_state_dict({k: mg.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    ddp, peer = DDP(ours), torch.nn.parallel.DistributedDataParallel(theirs)
    opt = mg.optim.AdamW(ddp.parameters(), lr=0.003)
    peer_opt = torch.optim.AdamW(peer.parameters(), lr=0.003)
    for step in range(50):
        x, y = batches(size, step, dtype)
        x, y = x[rank * B : (rank + 1) * B], y[rank * B : (rank + 1) * B]
        for lib, model, o in ((mg, ddp, opt), (torch, peer, peer_opt)):
            o.zero_grad()
            lib.nn.functional.cross_entropy(model(lib.tensor(x)), lib.tensor(y)).backward()
            o.step()
    torch.distributed.destroy_process_group()
    return parameters(ours), parameters(theirs)


@pytest.mark.torch
@pytest.mark.parametrize(
    "size, norm", [(2, False), (2, True), pytest.param(3, False, marks=pytest.mark.slow)]
)
def test_fifty_steps_beside_pytorchs_ddp(size: int, norm: bool, tmp_path: Path) -> None:
    for ours, theirs in run(beside_torch, size, str(tmp_path), norm):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------ what is not used
class Branches(mg.nn.Module):
    """Two layers of which a step uses one or both; the third is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = mg.nn.Linear(2, 2), mg.nn.Linear(2, 2), mg.nn.Linear(2, 2)

    def forward(self, x: Any, use: str) -> Any:
        y = self.a(x) if "a" in use else x
        return {"out": [self.b(y) if "b" in use else y]}


def loss_of(model: Any, rank: int, use: str) -> Any:
    return model(mg.full((1, 2), rank + 1.0), use)["out"][0].sum()


def unused(rank: int, size: int) -> None:
    mg.manual_seed(0)
    model = DDP(Branches())
    loss_of(model, rank, "ab").backward()
    with pytest.raises(RuntimeError, match=r"not used in producing loss.*c\.weight"):
        loss_of(model, rank, "ab")
    mg.manual_seed(0)
    model = DDP(Branches(), find_unused_parameters=True)
    use = "ab" if rank == 0 else "b"
    loss_of(model, rank, use).backward()
    inner = model.module
    assert inner.c.weight.grad is None  # nobody used it
    # rank 0 alone used a: the others count as zeros
    expected = inner.b.weight.detach().sum(0).unsqueeze(1).expand(2, 2) * 1.0 / size
    np.testing.assert_allclose(inner.a.weight.grad.numpy(), expected.numpy(), rtol=1e-6)
    loss_of(model, rank, "ab").backward()  # and another set in the next step
    model = DDP(Branches(), static_graph=True)
    for _ in range(3):
        model.zero_grad()
        loss_of(model, rank, "ab").backward()
    assert model.module.c.weight.grad is None
    total = model.module.b.bias.grad
    assert total.tolist() == [1.0, 1.0]


def kept_graph(rank: int, size: int) -> None:
    """Graphs from before a forward still end in the parameters, alone and beside newer ones."""
    mg.manual_seed(0)
    model = DDP(mg.nn.Linear(2, 1, bias=False))
    weight = model.module.weight
    kept, expected = [], []
    for step in range(4):
        x = mg.full((1, 2), step + 1.0)
        kept.append(model.module(x).sum())
        expected.append([[step + 1.0] * 2])
        model(x).sum().backward()
    new = model.module(mg.full((1, 2), 10.0)).sum()
    for old, g in zip(kept, expected, strict=True):
        assert mg.autograd.grad(old, weight, retain_graph=True)[0].tolist() == g
    assert mg.autograd.grad(sum(kept) + new, weight, retain_graph=True)[0].tolist() == [[20.0] * 2]
    with model.no_sync():
        weight.grad = None
        (kept[0] + new).backward(inputs=[weight])
    assert weight.grad.tolist() == [[11.0] * 2]


def overlap(rank: int, size: int) -> None:
    """Buckets are sent while backward goes on, also when the loss of the last step is alive."""
    layers = [mg.nn.Linear(4, 4, bias=False) for _ in range(3)]
    model = DDP(mg.nn.Sequential(*layers), bucket_cap_mb=1e-5)
    seen: list[Any] = []

    def hook(state: Any, bucket: Any) -> Any:
        seen.append(bucket.index())
        return hooks.allreduce_hook(state, bucket)

    model.register_comm_hook(None, hook)
    for i, layer in enumerate(layers):
        layer.weight.register_hook(lambda g, i=i: seen.append(f"layer {i}"))
    for _ in range(3):
        seen.clear()
        loss = model(mg.ones(1, 4)).sum()
        loss.backward()
        assert seen == ["layer 2", 0, "layer 1", 1, "layer 0", 2]


def accumulation(rank: int, size: int) -> None:
    mg.manual_seed(0)
    model = DDP(network(mg).double())
    for step in range(3):
        x, y = batches(size, step)
        with model.no_sync() if step < 2 else contextlib.nullcontext():
            mg.nn.functional.cross_entropy(model(share(rank, x)), share(rank, y)).backward()
    mg.manual_seed(0)
    alone = network(mg).double()
    for step in range(3):
        x, y = batches(size, step)
        mg.nn.functional.cross_entropy(alone(mg.tensor(x)), mg.tensor(y)).backward()
    for p, q in zip(model.parameters(), alone.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-10, atol=1e-12)


def construction(rank: int, size: int) -> None:
    with pytest.raises(RuntimeError, match="any parameter that requires"):
        DDP(mg.nn.ReLU())
    with pytest.raises(dist.DistBackendError, match=r"'weight' is float32 of shape \(2, 3\)"):
        DDP(mg.nn.Linear(3 + rank, 2))
    with pytest.raises(dist.DistBackendError, match="rank 0 has 2 parameters, rank 1 has 1"):
        DDP(mg.nn.Linear(3, 2, bias=rank == 0))
    with pytest.raises(ValueError, match="bucket_cap_mb"):
        DDP(mg.nn.Linear(2, 2), bucket_cap_mb=0)
    model = DDP(mg.nn.Linear(2, 2))
    model.register_comm_hook(None, hooks.fp16_compress_hook)
    with pytest.raises(RuntimeError, match="only be called once"):
        model.register_comm_hook(None, hooks.fp16_compress_hook)
    with pytest.raises(TypeError):
        DDP(mg.nn.Linear(2, 2)).register_comm_hook(None, 3)
    assert set(model.state_dict()) == {"module.weight", "module.bias"}


def buffers(rank: int, size: int) -> None:
    model = DDP(mg.nn.BatchNorm1d(3))
    for step in range(3):
        model(mg.full((4, 3), float(rank + step)) + mg.arange(4.0).unsqueeze(1)).sum().backward()
    mean = model.module.running_mean.clone()
    with mg.no_grad():
        model(mg.zeros(4, 3))  # the buffers become those of rank 0 first
    reference = mg.nn.BatchNorm1d(3)
    for step in range(3):
        reference(mg.full((4, 3), float(step)) + mg.arange(4.0).unsqueeze(1))
    if rank == 0:
        np.testing.assert_allclose(mean.numpy(), reference.running_mean.numpy(), rtol=1e-6)


def compression(rank: int, size: int) -> list[float]:
    errors = []
    for hook in (
        hooks.fp16_compress_hook,
        hooks.bf16_compress_hook,
        hooks.fp16_compress_wrapper(hooks.allreduce_hook),
        hooks.bf16_compress_wrapper(hooks.allreduce_hook),
    ):
        mg.manual_seed(0)
        model = DDP(network(mg), bucket_cap_mb=0.0005)
        model.register_comm_hook(None, hook)
        x, y = batches(size, 0, np.float32)
        mg.nn.functional.cross_entropy(model(share(rank, x)), share(rank, y)).backward()
        mg.manual_seed(0)
        alone = network(mg)
        mg.nn.functional.cross_entropy(alone(mg.tensor(x)), mg.tensor(y)).backward()
        error = max(
            np.abs(p.grad.numpy() - q.grad.numpy()).max()
            for p, q in zip(model.parameters(), alone.parameters(), strict=True)
        )
        errors.append(float(error))
    return errors


def power_sgd(rank: int, size: int) -> tuple[float, list[float], float]:
    """The first error, then the losses of a regression, and the rate of compression."""
    rng = np.random.default_rng(rank)
    # one sample a rank: a gradient of rank `size`, which two columns describe exactly
    exact = power.PowerSGDState(None, 2, 2, random_seed=3)
    grads = []
    for state in (None, exact):
        mg.manual_seed(0)
        model = DDP(mg.nn.Linear(64, 48))
        if state is not None:
            model.register_comm_hook(state, power.powerSGD_hook)
        for step in range(3):
            model.zero_grad()
            x = np.random.default_rng(10 * rank + step).standard_normal((1, 64))
            model(mg.tensor(x.astype(np.float32))).square().sum().backward()
        grads.append(model.module.weight.grad.numpy().copy())
    error = float(np.abs(grads[0] - grads[1]).max() / np.abs(grads[0]).max())
    # a gradient of full rank: what is lost comes back in the next step
    state = power.PowerSGDState(None, 4, 2)
    mg.manual_seed(0)
    model = DDP(mg.nn.Linear(64, 48))
    model.register_comm_hook(state, power.powerSGD_hook)
    target = np.random.default_rng(9).standard_normal((64, 48)).astype(np.float32)
    optimizer = mg.optim.SGD(model.parameters(), lr=2.0)
    losses = []
    for _ in range(200):
        x = rng.standard_normal((32, 64)).astype(np.float32)
        optimizer.zero_grad()
        loss = (model(mg.tensor(x)) - mg.tensor(x @ target)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return error, losses, state.compression_stats()[0]


def uneven(rank: int, size: int, divide: bool) -> np.ndarray:
    mg.manual_seed(0)
    model = DDP(network(mg, norm=True).double())
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    with model.join(divide_by_initial_world_size=divide):
        for step in range(2 + 2 * rank):
            x, y = batches(size, step)
            optimizer.zero_grad()
            mg.nn.functional.cross_entropy(model(share(rank, x)), share(rank, y)).backward()
            optimizer.step()
    return np.concatenate(
        [parameters(model.module), *[b.numpy().reshape(-1) for b in model.module.buffers()]]
    )


def uneven_torch(rank: int, size: int, divide: bool, folder: str) -> np.ndarray:
    import torch

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/gloo", rank=rank, world_size=size
    )
    mg.manual_seed(0)
    ours = network(mg, norm=True).double()
    theirs = network(torch, norm=True).double()
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    model = torch.nn.parallel.DistributedDataParallel(theirs)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with model.join(divide_by_initial_world_size=divide):
        for step in range(2 + 2 * rank):
            x, y = batches(size, step)
            x, y = x[rank * B : (rank + 1) * B], y[rank * B : (rank + 1) * B]
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y))
            loss.backward()
            optimizer.step()
    torch.distributed.destroy_process_group()
    return np.concatenate([parameters(theirs), *[b.numpy().reshape(-1) for b in theirs.buffers()]])


def throw_early(rank: int, size: int) -> None:
    model = DDP(mg.nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="exhausted inputs"):
        with model.join(throw_on_early_termination=True):
            for _ in range(1 + rank):
                model(mg.ones(1, 2)).sum().backward()
    dist.barrier()


@pytest.mark.parametrize(
    "work", [unused, kept_graph, overlap, accumulation, construction, buffers, throw_early]
)
def test_in_two_processes(work: Any) -> None:
    run(work, 2)


def test_compression_hooks() -> None:
    for errors in run(compression, 2):
        assert all(0 < e < bound for e, bound in zip(errors, [1e-3, 1e-2, 1e-3, 1e-2], strict=True))


def test_power_sgd_learns_and_sends_less() -> None:
    (error, losses, rate), (_, _, same_rate) = run(power_sgd, 2)
    assert error < 1e-5
    assert losses[-1] < 0.02 * losses[0]
    assert rate == same_rate > 5
    with pytest.raises(ValueError, match="start_powerSGD_iter"):
        power.PowerSGDState(None, start_powerSGD_iter=1)


@pytest.mark.torch
@pytest.mark.parametrize("divide", [True, False])
def test_uneven_inputs_as_pytorch(divide: bool, tmp_path: Path) -> None:
    ours = run(uneven, 2, divide)
    theirs = run(uneven_torch, 2, divide, str(tmp_path))
    assert np.array_equal(ours[0], ours[1])
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-9, atol=1e-11)


def test_buckets() -> None:
    ps = [mg.zeros(n) for n in (100, 100, 300, 10)] + [mg.zeros(5, dtype=mg.float64)]
    assert assign_buckets(ps, [400, 1200]) == [[4], [3, 2], [1, 0]]
    assert assign_buckets(ps[:2], [1 << 20, 25 << 20]) == [[1, 0]]


# ------------------------------------------------------------------------------ SyncBatchNorm
def synchronised(rank: int, size: int) -> None:
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 7, 3, 4))
    cuts = [0, 2, 3, 7][: size + 1]
    cuts[-1] = 7
    mine = slice(cuts[rank], cuts[rank + 1])
    for momentum, affine in ((0.1, True), (None, False)):
        whole = mg.nn.BatchNorm1d(3, momentum=momentum, affine=affine).double()
        sync = mg.nn.SyncBatchNorm.convert_sync_batchnorm(
            mg.nn.Sequential(mg.nn.BatchNorm1d(3, momentum=momentum, affine=affine).double())
        )
        a, b = mg.tensor(x, requires_grad=True), mg.tensor(x[mine], requires_grad=True)
        for _ in range(2):
            y, z = whole(a), sync(b)
            y.backward(mg.tensor(g))
            z.backward(mg.tensor(g[mine]))
        np.testing.assert_allclose(z.detach().numpy(), y.detach().numpy()[mine], rtol=1e-10)
        np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy()[mine], rtol=1e-8, atol=1e-12)
        layer = sync[0]
        np.testing.assert_allclose(layer.running_var.numpy(), whole.running_var.numpy())
        np.testing.assert_allclose(layer.running_mean.numpy(), whole.running_mean.numpy())
        if affine:
            total = layer.weight.grad.clone()
            dist.all_reduce(total)
            np.testing.assert_allclose(total.numpy(), whole.weight.grad.numpy(), rtol=1e-8)
        layer.eval(), whole.eval()
        np.testing.assert_allclose(sync(b).detach().numpy(), whole(a).detach().numpy()[mine])


@pytest.mark.parametrize("size", [2, 3])
def test_sync_batch_norm_sees_the_whole_batch(size: int) -> None:
    run(synchronised, size)


# ------------------------------------------------------------------------------ sampler
def samplers(rank: int, size: int) -> list[int]:
    return list(mg.utils.data.DistributedSampler(range(10), shuffle=False))


def test_the_sampler_knows_the_process_group() -> None:
    assert run(samplers, 3) == [[0, 3, 6, 9], [1, 4, 7, 0], [2, 5, 8, 1]]
    with pytest.raises(ValueError, match="has not been initialized"):
        mg.utils.data.DistributedSampler(range(10))


# ------------------------------------------------------------------------------ ZeRO-1
def zero(rank: int, size: int) -> tuple[np.ndarray, int]:
    mg.manual_seed(0)
    model = DDP(network(mg).double())
    groups = [{"params": list(model.parameters())[:3]}, {"params": list(model.parameters())[3:]}]
    groups[1]["lr"] = 0.003  # type: ignore[assignment]
    optimizer = ZeroRedundancyOptimizer(groups, mg.optim.AdamW, lr=0.01, weight_decay=0.1)
    for step in range(STEPS):
        x, y = batches(size, step)
        optimizer.zero_grad()
        mg.nn.functional.cross_entropy(model(share(rank, x)), share(rank, y)).backward()
        optimizer.step()
        if step == 1:  # through a state dict and back
            optimizer.consolidate_state_dict(to=0)
            if rank:
                with pytest.raises(RuntimeError, match="has not been consolidated"):
                    optimizer.state_dict()
            state = [optimizer.state_dict() if rank == 0 else None]
            dist.broadcast_object_list(state, 0)
            optimizer.load_state_dict(state[0])
    mine = sum(p.numel() for p in optimizer.optim.state)
    return parameters(model), mine


@pytest.mark.parametrize("size", [1, 3])
def test_zero_steps_as_the_optimizer_does(size: int) -> None:
    mg.manual_seed(0)
    model = network(mg).double()
    ps = list(model.parameters())
    groups: list[dict[str, Any]] = [{"params": ps[:3]}, {"params": ps[3:], "lr": 0.003}]
    optimizer = mg.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    for step in range(STEPS):
        x, y = batches(size, step)
        optimizer.zero_grad()
        mg.nn.functional.cross_entropy(model(mg.tensor(x)), mg.tensor(y)).backward()
        optimizer.step()
    found = run(zero, size)
    for ours, _ in found:
        np.testing.assert_allclose(ours, parameters(model), rtol=1e-9, atol=1e-12)
    assert sum(mine for _, mine in found) == sum(p.numel() for p in ps)  # each state once
    assert size == 1 or max(mine for _, mine in found) < sum(p.numel() for p in ps)


# ------------------------------------------------------------------------------ checkpoints
def state_of(rank: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "model": {f"w{i}": mg.tensor(rng.standard_normal((4, i))) for i in range(5)},
        "step": seed,
        "history": [1.5, None, "text", True],
        f"rank{rank}": {0: mg.full((3,), rank + seed)},
    }


def saved(rank: int, size: int, path: str) -> None:
    for seed in (1, 2):
        dcp.save(state_of(rank, seed), checkpoint_id=path)
    found = state_of(rank, 0)
    dcp.load(found, checkpoint_id=path)
    check_state(found, rank)
    with pytest.raises(TypeError, match="object"):
        dcp.save({"a": object() if rank == 1 else 1}, checkpoint_id=path)


def check_state(found: dict[str, Any], rank: int) -> None:
    expected = state_of(rank, 2)
    assert found["step"] == 2 and found["history"] == expected["history"]
    for name, t in expected["model"].items():
        assert np.array_equal(found["model"][name].numpy(), t.numpy())
    assert found[f"rank{rank}"][0].tolist() == [rank + 2] * 3


def test_sharded_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    run(saved, 3, str(path))
    files = sorted(p.name for p in path.iterdir())
    assert len(files) == 4 and "checkpoint.json" in files  # one a rank, and the index
    for rank in range(3):  # one process reads what three have written
        found = state_of(rank, 0)
        dcp.load(found, checkpoint_id=path)
        check_state(found, rank)
    with pytest.raises(KeyError, match="nothing"):
        dcp.load({"nothing": mg.zeros(1)}, checkpoint_id=path)
    with pytest.raises(RuntimeError, match="shape"):
        dcp.load({"model": {"w1": mg.zeros(7)}}, checkpoint_id=path)
    with pytest.raises(FileNotFoundError, match="no complete checkpoint"):
        dcp.load({}, checkpoint_id=tmp_path)


def hang_in_backward(rank: int, size: int) -> None:
    model = DDP(mg.nn.Linear(4, 4))
    if rank == 1:
        raise SystemExit
    model(mg.ones(1, 4)).sum().backward()


def test_a_rank_that_ends_during_backward_is_named() -> None:
    found = Group(hang_in_backward, 2, timeout=4).outcomes()
    assert "rank 1 died" in found[0].text
