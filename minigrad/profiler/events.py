"""What was measured: events, their averages by name, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..export import export

UNITS = (("s", 1e6), ("ms", 1e3), ("us", 1.0))


@export("autograd.profiler_util.Interval")
class Interval:
    """A span of time, in microseconds."""

    __slots__ = ("start", "end")

    def __init__(self, start: float, end: float):
        self.start, self.end = start, end

    def elapsed_us(self) -> float:
        """Its length in microseconds."""
        return self.end - self.start


@export("autograd.profiler_util.FunctionEvent")
class FunctionEvent:
    """One call: an op, a node of the backward walk, or a block of the user's (`record_function`).

    Times are in microseconds since the profiler started; memory in bytes that were taken (and given
    back: negative) while the call ran.
    """

    device_type = "cpu"

    def __init__(self, id: int, name: str, thread: int, start: float, kind: str):
        self.id = id
        self.name = self.key = name
        self.thread = thread
        self.kind = kind  # "op", "backward" or "user"
        self.time_range = Interval(start, start)
        self.cpu_parent: FunctionEvent | None = None
        self.cpu_children: list[FunctionEvent] = []
        self.input_shapes: list[list[int]] = []
        self.stack: list[str] = []
        self.own_memory = 0
        self.flops: int | None = None
        self.count = 1
        self.is_user_annotation = kind == "user"

    @property
    def cpu_time_total(self) -> float:
        """Duration, with all calls inside."""
        return self.time_range.elapsed_us()

    cpu_time = cpu_time_total

    @property
    def self_cpu_time_total(self) -> float:
        """Duration without the calls inside."""
        return self.cpu_time_total - sum(c.cpu_time_total for c in self.cpu_children)

    @property
    def cpu_memory_usage(self) -> int:
        """Bytes, with all calls inside."""
        return self.own_memory + sum(c.cpu_memory_usage for c in self.cpu_children)

    @property
    def self_cpu_memory_usage(self) -> int:
        """Bytes, without the calls inside."""
        return self.own_memory

    device_time = device_time_total = self_device_time_total = 0.0
    device_memory_usage = self_device_memory_usage = 0

    def __repr__(self) -> str:
        return (
            f"<FunctionEvent id={self.id} name={self.name} thread={self.thread}"
            f" cpu_time={format_time(self.cpu_time_total)} input_shapes={self.input_shapes}>"
        )


@export("autograd.profiler_util.FunctionEventAvg")
class FunctionEventAvg:
    """All calls of one name (and shape, and place, if grouped by them) together."""

    def __init__(self, event: FunctionEvent):
        self.key = event.name
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.device_time_total = self.self_device_time_total = 0.0
        self.device_memory_usage = self.self_device_memory_usage = 0
        self.input_shapes = event.input_shapes
        self.stack = event.stack
        self.flops = 0
        self.is_user_annotation = event.is_user_annotation

    def add(self, event: FunctionEvent) -> None:
        """Count one more call."""
        self.count += 1
        if not _inside_itself(event):  # a call inside one of its name is in the total already
            self.cpu_time_total += event.cpu_time_total
            self.cpu_memory_usage += event.cpu_memory_usage
        self.self_cpu_time_total += event.self_cpu_time_total
        self.self_cpu_memory_usage += event.self_cpu_memory_usage
        self.flops += event.flops or 0

    @property
    def cpu_time(self) -> float:
        """The mean duration."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def device_time(self) -> float:
        """The mean time on a device."""
        return self.device_time_total / self.count if self.count else 0.0

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key}"
            f" self_cpu_time={format_time(self.self_cpu_time_total)}"
            f" cpu_time={format_time(self.cpu_time)} count={self.count}>"
        )


def _inside_itself(event: FunctionEvent) -> bool:
    parent = event.cpu_parent
    while parent is not None:
        if parent.name == event.name:
            return True
        parent = parent.cpu_parent
    return False


def format_time(us: float, unit: str | None = None) -> str:
    """Microseconds as "1.234ms"; in a unit of one's own if asked."""
    for name, size in UNITS:
        if unit == name or (unit is None and (us >= size or name == "us")):
            return f"{us / size:.3f}{name}"
    raise ValueError(f"time_unit must be one of s, ms and us, but got {unit!r}")


def format_memory(size: int) -> str:
    """Bytes as "1.50 KB"."""
    for name, unit in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if abs(size) >= unit:
            return f"{size / unit:.2f} {name}"
    return f"{size} B"


@export("autograd.profiler_util.EventList")
class EventList(list):
    """Events, or averages of them, that print as a table."""

    def __init__(self, events: Iterable[Any] = (), profile_memory: bool = False):
        super().__init__(events)
        self._profile_memory = profile_memory

    def __str__(self) -> str:
        return self.table()

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all calls together, microseconds."""
        return sum(e.self_cpu_time_total for e in self)

    def key_averages(
        self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0
    ) -> EventList:
        """Calls of one name together; with shapes or the n innermost lines of code if asked."""
        groups: dict[Any, FunctionEventAvg] = {}
        for event in self:
            key: tuple[Any, ...] = (event.name, event.is_user_annotation)
            if group_by_input_shapes:
                key += (str(event.input_shapes),)
            if group_by_stack_n > 0:
                key += tuple(event.stack[:group_by_stack_n])
            if key not in groups:
                groups[key] = made = FunctionEventAvg(event)
                made.input_shapes = event.input_shapes if group_by_input_shapes else []
                made.stack = event.stack[:group_by_stack_n]
            groups[key].add(event)
        return EventList(groups.values(), self._profile_memory)

    def total_average(self) -> FunctionEventAvg:
        """Everything together, as one average named "Total"."""
        total = FunctionEventAvg(FunctionEvent(0, "Total", 0, 0.0, "user"))
        for event in self:
            total.count += event.count
            total.self_cpu_time_total += event.self_cpu_time_total
            total.self_cpu_memory_usage += event.self_cpu_memory_usage
        total.cpu_time_total = total.self_cpu_time_total
        total.cpu_memory_usage = total.self_cpu_memory_usage
        return total

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """A text table, sorted by an attribute such as "self_cpu_time_total", largest first.

        AttributeError for an attribute that does not exist. row_limit −1: all rows.
        """
        rows = list(self)
        if sort_by is not None:
            name = sort_by.replace("cuda", "device")
            rows.sort(key=lambda e: getattr(e, name), reverse=True)
        if top_level_events_only:
            rows = [e for e in rows if getattr(e, "cpu_parent", None) is None]
        if row_limit >= 0:
            rows = rows[:row_limit]
        widths = (max_name_column_width, max_shapes_column_width, max_src_column_width)
        lines = self._lines(rows, widths, time_unit)
        total = format_time(self.self_cpu_time_total, time_unit)
        title = [header] if header else []
        return "\n".join([*title, *lines, f"Self CPU time total: {total}", ""])

    def _lines(self, rows: list[Any], widths: tuple[int, int, int], unit: str | None) -> list[str]:
        total = self.self_cpu_time_total or 1.0
        titles = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"]
        if self._profile_memory:
            titles += ["CPU Mem", "Self CPU Mem"]
        titles += ["# of Calls"]
        shapes = any(e.input_shapes for e in rows)
        source = any(e.stack for e in rows)
        flops = any(e.flops for e in rows)
        titles += ["Input Shapes"] * shapes + ["Source Location"] * source + ["Total FLOPs"] * flops
        cells = [titles]
        for e in rows:
            row = [
                _cut(e.key, widths[0]),
                f"{100 * e.self_cpu_time_total / total:.2f}%",
                format_time(e.self_cpu_time_total, unit),
                f"{100 * e.cpu_time_total / total:.2f}%",
                format_time(e.cpu_time_total, unit),
                format_time(e.cpu_time, unit),
            ]
            if self._profile_memory:
                row += [format_memory(e.cpu_memory_usage), format_memory(e.self_cpu_memory_usage)]
            row += [str(e.count)]
            row += [_cut(str(e.input_shapes), widths[1])] * shapes
            row += [_cut(e.stack[0] if e.stack else "", widths[2])] * source
            row += [f"{e.flops or 0:,}"] * flops
            cells.append(row)
        columns = [max(len(row[i]) for row in cells) for i in range(len(titles))]
        rule = "  ".join("-" * w for w in columns)

        def line(row: list[str]) -> str:
            return "  ".join(text.rjust(w) for text, w in zip(row, columns, strict=True))

        return [rule, line(titles), rule, *[line(row) for row in cells[1:]], rule]

    def export_chrome_trace(self, path: str) -> None:
        """Write the events in the format of chrome://tracing and Perfetto."""
        from .export_trace import write_trace

        write_trace(path, self, {})


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."
