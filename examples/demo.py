"""The demo: two models trained on real data, and the same two runs in PyTorch if it is installed.

    make demo      (or: python examples/demo.py)

Pictures, checkpoints and a summary go to out/. With PyTorch, both libraries start from the same
weights, see the same batches, and must agree on the loss to 1e-4 relative over the first 50 steps.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import char_gpt  # noqa: E402
import digits_cnn  # noqa: E402
from plots import loss_curves  # noqa: E402

COMPARED = 50
TOLERANCE = 1e-4


def load_weights(torch: ModuleType, model: Any, start: dict[str, np.ndarray]) -> Any:
    """Give the PyTorch model minigrad's first weights."""
    model.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in start.items()})
    return model


def compare(name: str, ours: list[float], theirs: list[float], out: Path) -> float:
    """Print the two curves side by side; the largest relative difference."""
    loss_curves(
        {"minigrad": ours[: len(theirs)], "torch": theirs}, out / f"{name}_vs_torch.png", name
    )
    a, b = np.array(ours[: len(theirs)]), np.array(theirs)
    gap = np.abs(a - b) / np.abs(b)
    print(
        f"\n{name}: loss, step by step\n{'step':>5} {'minigrad':>12} {'torch':>12}"
        f" {'difference':>11}"
    )
    for i in sorted({*range(0, len(b), 5), len(b) - 1}):
        print(f"{i:>5} {a[i]:>12.7f} {b[i]:>12.7f} {gap[i]:>11.1e}")
    print(
        f"{name}: largest relative difference over {len(b)} steps {gap.max():.1e} (at most"
        f" {TOLERANCE:.0e} wanted)"
    )
    return float(gap.max())


def torch_runs(digits: dict[str, Any], gpt: dict[str, Any], out: Path) -> bool:
    """The first steps of both runs in PyTorch; whether they agree."""
    torch = importlib.import_module("torch")
    model = load_weights(torch, digits_cnn.make_model(torch), digits["start"])
    theirs = digits_cnn.train(torch, model, digits["plan"], COMPARED)
    gaps = [compare("digits", digits["losses"], theirs, out)]
    config = gpt["config"]
    model = load_weights(torch, char_gpt.make_model(torch, config), gpt["start"])
    theirs = char_gpt.train(torch, model, config, gpt["plan"][:COMPARED])
    gaps.append(compare("char_gpt", gpt["losses"], theirs, out))
    return all(g <= TOLERANCE for g in gaps)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="where pictures and checkpoints go"
    )
    out = parser.parse_args().out
    started = time.perf_counter()
    digits = digits_cnn.main(out)
    gpt = char_gpt.main(out)
    ok = True
    if digits["accuracy"] < 0.98:
        print(f"digits: accuracy {digits['accuracy']:.2%} is below 98%")
        ok = False
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: no comparison (pip install torch==2.13.0 to see it)")
    else:
        ok = torch_runs(digits, gpt, out) and ok
    print(
        f"\nAll of it took {time.perf_counter() - started:.0f} s; pictures and checkpoints are in"
        f" {out}/"
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
