"""Data-parallel training step by step: one process, then N processes that do the same together.

    python examples/ddp_toy.py                                             steps 1 to 3, compared
    python -m minigrad.distributed.run --nproc-per-node 2 examples/ddp_toy.py      step 3, launched

The network is the small LeNet of PyTorch's CIFAR-10 tutorial, for images of 3 x 32 x 32; the images
are scikit-learn's handwritten digits, enlarged. Every step of the training is there three times:

1. one process with the whole batch,
2. N processes with a part of the batch each, and gradients averaged by hand after backward,
3. N processes and DistributedDataParallel, which averages while backward still computes.

All three end with the same weights, to rounding.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.distributed as dist
from minigrad import nn
from minigrad.nn import functional as F
from minigrad.nn.parallel import DistributedDataParallel
from minigrad.utils.data import DataLoader, DistributedSampler, TensorDataset


class ToyModel(nn.Module):
    """Two convolutions with pooling, three linear layers; (B, 3, 32, 32) -> (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Any) -> Any:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


def digits(samples: int) -> TensorDataset:
    """Images (N, 3, 32, 32) in [0, 1] and labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    small = mg.tensor((data.images[:samples, None] / 16).astype(np.float32))
    images = F.interpolate(small, size=(32, 32), mode="bilinear").expand(-1, 3, -1, -1)
    return TensorDataset(images.contiguous(), mg.tensor(data.target[:samples].astype(np.int64)))


def parts(options: argparse.Namespace, rank: int, size: int) -> Any:
    """Batches of this rank; together the ranks of a step have `options.batch` samples."""
    data = digits(options.samples)
    sampler = DistributedSampler(data, num_replicas=size, rank=rank, shuffle=True)
    return sampler, DataLoader(data, batch_size=options.batch // size, sampler=sampler)


def whole(options: argparse.Namespace, size: int) -> Any:
    """The same batches for one process: those of all ranks put together."""
    loaders = [parts(options, rank, size) for rank in range(size)]
    for epoch in range(options.epochs):
        for sampler, _ in loaders:
            sampler.set_epoch(epoch)
        for batches in zip(*[loader for _, loader in loaders], strict=True):
            yield mg.cat([x for x, _ in batches]), mg.cat([y for _, y in batches])


def weights(model: nn.Module) -> np.ndarray:
    """All parameters, one after the other."""
    return np.concatenate([p.detach().numpy().reshape(-1) for p in model.parameters()])


def step_1_one_process(options: argparse.Namespace) -> np.ndarray:
    """Training as everybody knows it."""
    mg.manual_seed(0)
    model = ToyModel()
    optimizer = mg.optim.SGD(model.parameters(), lr=0.05)
    for x, y in whole(options, options.ranks):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return weights(model)


def step_2_by_hand(options: argparse.Namespace) -> np.ndarray:
    """The principle: the same weights, another part of the data, averaged gradients."""
    mg.manual_seed(0)  # the same weights on every rank
    model = ToyModel()
    optimizer = mg.optim.SGD(model.parameters(), lr=0.05)
    sampler, loader = parts(options, dist.get_rank(), dist.get_world_size())
    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)  # or every epoch has the same order
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            for p in model.parameters():
                dist.all_reduce(p.grad)
                p.grad /= dist.get_world_size()
            optimizer.step()
    return weights(model)


def step_3_ddp(options: argparse.Namespace) -> np.ndarray:
    """What one writes: three lines are new."""
    mg.manual_seed(0)
    model = DistributedDataParallel(ToyModel())  # load a checkpoint before this line
    optimizer = mg.optim.SGD(model.parameters(), lr=0.05)  # and make the optimizer after it
    sampler, loader = parts(options, dist.get_rank(), dist.get_world_size())
    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        dist.all_reduce(loss := loss.detach(), dist.ReduceOp.AVG)
        if dist.get_rank() == 0:
            print(f"epoch {epoch}: loss {loss.item():.4f} (average of the last batch)", flush=True)
    if dist.get_rank() == 0 and options.save:
        mg.save(model.module.state_dict(), options.save)  # .module: without the wrapper's prefix
    return weights(model.module)


def work(rank: int, options: argparse.Namespace, folder: str) -> None:
    """One of the processes of steps 2 and 3."""
    dist.init_process_group(
        init_method=f"file://{folder}/meet", rank=rank, world_size=options.ranks
    )
    by_hand, ddp = step_2_by_hand(options), step_3_ddp(options)
    if rank == 0:
        np.save(f"{folder}/results.npy", np.stack([by_hand, ddp]))
    dist.destroy_process_group()


def main(argv: list[str] | None = None) -> dict[str, float]:
    """All three, compared: the largest difference of any weight."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--samples", type=int, default=1792)
    parser.add_argument("--batch", type=int, default=32, help="of all ranks together")
    parser.add_argument("--save", help="where rank 0 saves the weights")
    options = parser.parse_args(argv)
    if dist.is_torchelastic_launched():
        dist.init_process_group()
        step_3_ddp(options)
        dist.destroy_process_group()
        return {}
    alone = step_1_one_process(options)
    with tempfile.TemporaryDirectory() as folder:
        mg.multiprocessing.spawn(work, (options, folder), nprocs=options.ranks)
        by_hand, ddp = np.load(f"{folder}/results.npy")
    differences = {
        "by hand": float(np.abs(by_hand - alone).max()),
        "DistributedDataParallel": float(np.abs(ddp - alone).max()),
    }
    for name, difference in differences.items():
        print(f"{name}: {options.ranks} processes differ from one by at most {difference:.1e}")
    return differences


if __name__ == "__main__":
    main()
