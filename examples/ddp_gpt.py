"""The character GPT of char_gpt.py on several processes.

    python -m minigrad.distributed.run --nproc-per-node 2 examples/ddp_gpt.py --steps 200

Model, data and losses are those of char_gpt.py; each rank takes its part of every batch. Adam's
state is divided among the ranks (ZeRO-1), and a sharded checkpoint is written on the way: started
again after a failure (--max-restarts), the run continues from there.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from char_gpt import Config, batches, load_text, make_model, sample
from tqdm import tqdm

import minigrad as mg
import minigrad.distributed as dist
import minigrad.distributed.checkpoint as dcp
from minigrad.distributed.optim import ZeroRedundancyOptimizer
from minigrad.nn.parallel import DistributedDataParallel


def train(config: Config, out: Path, every: int) -> float:
    """The loss, averaged over ranks and the last steps."""
    rank, size = dist.get_rank(), dist.get_world_size()
    mg.manual_seed(0)
    net = make_model(mg, config)
    state = {"model": net.state_dict(), "step": 0}
    path = out / "ddp_gpt"
    if (path / "checkpoint.json").exists():
        dcp.load(state, checkpoint_id=path)
    model = DistributedDataParallel(net, gradient_as_bucket_view=True)
    optimizer = ZeroRedundancyOptimizer(
        model.parameters(), mg.optim.AdamW, lr=config.lr, betas=(0.9, 0.95), weight_decay=0.1
    )
    plan = batches(load_text(), config)
    part = config.batch // size
    losses: list[float] = []
    bar = tqdm(range(state["step"], config.steps), unit="step", disable=rank > 0)
    for step in bar:
        window = plan[step][rank * part : (rank + 1) * part]
        x, y = mg.tensor(window[:, :-1].copy()), mg.tensor(window[:, 1:].copy())
        loss = mg.nn.functional.cross_entropy(model(x).view(-1, config.vocab), y.view(-1))
        optimizer.zero_grad()
        loss.backward()
        mg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # gradients are equal: so is the norm
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % every == 0:
            state["step"] = step + 1
            dcp.save(state, checkpoint_id=path)
            bar.set_postfix(loss=f"{np.mean(losses[-10:]):.3f}")
    mean = mg.tensor(float(np.mean(losses[-20:])) if losses else 0.0)
    dist.all_reduce(mean, dist.ReduceOp.AVG)
    if rank == 0:
        print(sample(mg, net, config, "def ", 80))
        print(f"loss {mean.item():.3f} after {config.steps} steps on {size} processes")
    return mean.item()


def main() -> None:
    """Options, process group, training."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--every", type=int, default=50, help="steps between checkpoints")
    options = parser.parse_args()
    if "RANK" not in os.environ:
        parser.error("start it with python -m minigrad.distributed.run --nproc-per-node 2")
    os.makedirs(options.out, exist_ok=True)
    dist.init_process_group()
    train(Config(steps=options.steps), options.out, options.every)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
