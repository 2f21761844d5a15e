"""What the figures of a comparison amount to: ratios, losers first, geometric means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A workload against one peer. `ratio` is the peer's time over ours; None with a reason where
    we failed, or where the peer did."""

    key: str
    family: str
    kind: str
    size: str
    ours: float | None
    theirs: float | None
    failed: str | None = None
    peer_failed: str | None = None

    @property
    def ratio(self) -> float | None:
        if self.ours is None or self.theirs is None:
            return None
        return self.theirs / self.ours

    @property
    def lost(self) -> bool:
        return self.failed is not None or (self.ratio is not None and self.ratio < 1)


@dataclass(frozen=True)
class Mean:
    """The geometric mean of the ratios in a group. What we could not run is counted beside it."""

    name: str
    value: float | None
    count: int
    slower: int
    failed: int

    def __str__(self) -> str:
        text = "-" if self.value is None else f"{self.value:.2f}"
        return text + (f" and {self.failed} failed" if self.failed else "")


def rows(report: Record, peer: str) -> list[Row]:
    """Every workload that both were asked for, the worst first: what failed, then by ratio."""
    ours = report["libraries"][0]
    found = []
    for record in report["workloads"]:
        seconds, failed = record["seconds"], record["failed"]
        asked = [name in seconds or name in failed for name in (ours, peer)]
        if all(asked):
            found.append(
                Row(
                    record["key"],
                    record["family"],
                    record["kind"],
                    record["size"],
                    seconds.get(ours),
                    seconds.get(peer),
                    failed.get(ours),
                    failed.get(peer),
                )
            )

    def order(row: Row) -> float:
        if row.failed is not None:
            return -math.inf
        return math.inf if row.ratio is None else row.ratio

    return sorted(found, key=order)


def mean_of(name: str, group: Iterable[Row]) -> Mean:
    """The geometric mean of a group; None where nothing in it has a ratio."""
    listed = list(group)
    ratios = [row.ratio for row in listed if row.ratio is not None]
    value = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None
    failed = sum(row.failed is not None for row in listed)
    return Mean(name, value, len(ratios), sum(r < 1 for r in ratios), failed)


OVERALL: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    ("all ops", lambda row: row.kind == "op"),
    ("tiny ops", lambda row: row.kind == "op" and row.size == "tiny"),
    ("middle ops", lambda row: row.kind == "op" and row.size == "middle"),
    ("large ops", lambda row: row.kind == "op" and row.size == "large"),
    ("training steps", lambda row: row.kind == "step"),
    ("rl mlp steps", lambda row: row.key.startswith("rl mlp")),
    ("inference", lambda row: row.kind == "inference"),
)


def overall(found: list[Row]) -> list[Mean]:
    """The means that say it all, of the groups that have anything in them."""
    groups = [(name, [row for row in found if belongs(row)]) for name, belongs in OVERALL]
    return [mean_of(name, group) for name, group in groups if group]


def families(found: list[Row]) -> list[Mean]:
    """A mean for every family of ops, the worst first."""
    names = sorted({row.family for row in found if row.kind == "op"})
    means = [mean_of(name, [row for row in found if row.family == name]) for name in names]
    return sorted(means, key=lambda mean: mean.value or 0.0)
