"""Events as files: Chrome's trace format (JSON), and folded stacks for flame graphs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


def trace_events(events: Iterable[Any], memory: Iterable[Any] = ()) -> list[dict[str, Any]]:
    """The list `traceEvents`: a complete event ("X") a call; memory as instants ("i")."""
    pid = os.getpid()
    categories = {"op": "cpu_op", "backward": "cpu_op", "user": "user_annotation"}
    out: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": "python"}}
    ]
    for e in events:
        args: dict[str, Any] = {"External id": e.id, "Pass": e.kind}
        if e.input_shapes:
            args["Input Dims"] = e.input_shapes
        if e.stack:
            args["Call stack"] = ";".join(e.stack)
        if e.own_memory:
            args["Bytes"] = e.own_memory
        if e.flops:
            args["Flops"] = e.flops
        span = e.time_range
        out.append(
            {
                "ph": "X", "cat": categories[e.kind], "name": e.name, "pid": pid,
                "tid": e.thread, "ts": span.start, "dur": span.elapsed_us(), "args": args,
            }
        )  # fmt: skip
    for ts, thread, size, total in memory:
        args = {"Device Type": 0, "Bytes": size, "Total Allocated": total}
        out.append(
            {
                "ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": pid,
                "tid": thread, "ts": ts, "args": args,
            }
        )  # fmt: skip
    return out


def write_trace(
    path: str, events: Iterable[Any], extra: dict[str, Any], memory: Iterable[Any] = ()
) -> None:
    """Write a Chrome trace; compressed if the name ends in .gz."""
    import gzip  # here, as `import minigrad` has to be quick
    import json

    content = {"schemaVersion": 1, **extra, "traceEvents": trace_events(events, memory)}
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "wt", encoding="utf-8") as file:
        json.dump(content, file)


def write_stacks(path: str, events: Iterable[Any], metric: str) -> None:
    """Folded stacks: "outermost;...;innermost microseconds" a line, for flame graph programs."""
    totals: dict[str, int] = {}
    for e in events:
        if e.stack:
            line = ";".join(reversed([s.replace(" ", "_") for s in e.stack]))
            totals[line] = totals.get(line, 0) + int(getattr(e, metric))
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{line} {value}\n" for line, value in totals.items() if value > 0)
