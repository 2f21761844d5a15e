"""profile: where a program spends its time, forward and backward, op by op.

with minigrad.profiler.profile(profile_memory=True) as prof:
    loss = model(x).square().mean()
    loss.backward()
print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))
prof.export_chrome_trace("trace.json")
"""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections.abc import Callable, Iterable
from enum import Enum
from time import time_ns
from typing import Any

from ..export import export
from .events import EventList, FunctionEvent, FunctionEventAvg
from .export_trace import write_stacks, write_trace
from .recorder import Recorder

_LOCK = threading.RLock()
_active: Recorder | None = None


def _begin(recorder: Recorder) -> None:
    global _active
    with _LOCK:
        if _active is not None:
            raise RuntimeError("Profiler is already enabled on this thread")
        _active = recorder
        recorder.begin()


def _end(recorder: Recorder) -> None:
    global _active
    with _LOCK:
        if _active is recorder:
            recorder.end()
            _active = None


@export("profiler.ProfilerActivity")
class ProfilerActivity(Enum):
    """What is measured; here the CPU."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


@export("profiler.supported_activities")
def supported_activities() -> set[ProfilerActivity]:
    """What can be measured here."""
    return {ProfilerActivity.CPU}


@export("profiler.ProfilerAction")
class ProfilerAction(Enum):
    """What the profiler does in one step of a schedule."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


@export("profiler.schedule")
def schedule(
    *,
    wait: int,
    warmup: int,
    active: int,
    repeat: int = 0,
    skip_first: int = 0,
    skip_first_wait: int = 0,
) -> Callable[[int], ProfilerAction]:
    """Which steps are measured: skip_first, then cycles of wait, warmup and active steps.

    repeat 0: cycles without end. skip_first_wait other than 0: the first cycle has no wait.
    AssertionError for negative numbers and for active < 1.
    """
    numbers = (wait, warmup, active, repeat, skip_first)
    if min(numbers) < 0 or active < 1:
        raise AssertionError("Invalid profiler schedule arguments")
    if warmup == 0:
        warnings.warn(
            "Profiler won't be using warmup, this can skew profiler results", stacklevel=2
        )

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError("a step is not negative")
        step -= skip_first
        if step < 0:
            return ProfilerAction.NONE
        if skip_first_wait != 0:
            step += wait
        cycle = wait + warmup + active
        if repeat > 0 and step // cycle >= repeat:
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        last = place == cycle - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD

    return action


@export("profiler.tensorboard_trace_handler")
def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[Any], None]:
    """An `on_trace_ready` that writes `<worker>.<time>.pt.trace.json` into a folder.

    RuntimeError if the folder cannot be made.
    """

    def handle(prof: Any) -> None:
        try:
            os.makedirs(dir_name, exist_ok=True)
        except OSError as error:
            raise RuntimeError("Can't create directory: " + dir_name) from error
        import socket  # here, as `import minigrad` has to be quick

        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        prof.export_chrome_trace(os.path.join(dir_name, name))

    return handle


@export("profiler.record_function", "autograd.profiler.record_function")
class record_function:
    """Names a block, or a function as its decorator; nothing happens unless a profiler is on."""

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args
        self._open: list[tuple[Recorder, FunctionEvent] | None] = []

    def __enter__(self) -> record_function:
        recorder = _active
        self._open.append(recorder and (recorder, recorder.open(self.name, "user")))
        return self

    def __exit__(self, *exc: object) -> None:
        entered = self._open.pop()
        if entered is not None:
            entered[0].close(entered[1])

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return func(*args, **kwargs)

        return run


class _Results:
    """What both profilers can tell once something was recorded."""

    _recorder: Recorder | None = None
    _metadata: dict[str, Any]

    def _recorded(self) -> Recorder:
        if self._recorder is None:
            raise AssertionError("Profiler didn't finish running")
        return self._recorder

    def events(self) -> EventList:
        """All calls, in order of their beginning. AssertionError before anything was recorded."""
        recorder = self._recorded()
        return EventList(recorder.events, recorder.memory)

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0
    ) -> EventList:
        """Calls of one name together: `.table(sort_by=..., row_limit=...)` prints them."""
        return self.events().key_averages(group_by_input_shape, group_by_stack_n)

    def export_chrome_trace(self, path: str) -> None:
        """Write a trace for chrome://tracing or Perfetto; compressed if the name ends in .gz."""
        recorder = self._recorded()
        write_trace(path, recorder.events, self._metadata, recorder.instants)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write folded stacks (with_stack=True) for a flame graph."""
        write_stacks(path, self._recorded().events, metric)


@export("profiler.profile")
class profile(_Results):
    """Times every op, and every node of the backward walk, inside the block.

    record_shapes keeps the shapes of arguments, profile_memory counts bytes of results, with_stack
    notes the line of code, with_flops estimates arithmetic. With a `schedule`, `step()` is called
    once an iteration, and `on_trace_ready(prof)` after each active stretch. RuntimeError if another
    profiler is on.
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[..., Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
        custom_trace_id_callback: Any = None,
    ):
        self.activities = set(activities) if activities else supported_activities()
        self.schedule = schedule or (lambda _: ProfilerAction.RECORD)
        self._step_marks = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.record_shapes, self.profile_memory = record_shapes, profile_memory
        self.with_stack, self.with_flops = with_stack, with_flops
        self.step_num = 0
        self.current_action = self.schedule(0)
        self._metadata: dict[str, Any] = {}
        self._running: Recorder | None = None
        self._mark: record_function | None = None

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, as at the start of a `with` block."""
        self.current_action = self.schedule(self.step_num)
        if self.current_action is not ProfilerAction.NONE:
            self._record()
        self._begin_step()

    def stop(self) -> None:
        """End, as at the end of a `with` block: a stretch that was being recorded is complete."""
        self._end_step()
        recording = self.current_action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        self._finish(ready=recording)

    def step(self) -> None:
        """The next iteration begins."""
        self._end_step()
        before, self.step_num = self.current_action, self.step_num + 1
        self.current_action = after = self.schedule(self.step_num)
        if before is ProfilerAction.RECORD_AND_SAVE:
            self._finish(ready=True)
        elif after is ProfilerAction.NONE:
            self._finish(ready=before is ProfilerAction.RECORD)
        elif before is ProfilerAction.WARMUP and after is not ProfilerAction.WARMUP:
            self._finish(ready=False)  # what the warm-up recorded is forgotten
        if after is not ProfilerAction.NONE and self._running is None:
            self._record()
        self._begin_step()

    def _record(self) -> None:
        recorder = Recorder(
            self.record_shapes, self.profile_memory, self.with_stack, self.with_flops
        )
        _begin(recorder)
        self._running = recorder

    def _finish(self, ready: bool) -> None:
        recorder, self._running = self._running, None
        if recorder is None:
            return
        _end(recorder)
        if ready:
            self._recorder = recorder
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)

    def _begin_step(self) -> None:
        if self._step_marks and self._running is not None:
            self._mark = record_function(f"ProfilerStep#{self.step_num}")
            self._mark.__enter__()

    def _end_step(self) -> None:
        if self._mark is not None:
            self._mark.__exit__()
            self._mark = None

    # ------------------------------------------------------------ metadata
    def add_metadata(self, key: str, value: str) -> None:
        """A text to be written into traces."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """A JSON text to be written into traces; ValueError if it is none."""
        import json  # here, as `import minigrad` has to be quick

        self._metadata[key] = json.loads(value)

    preset_metadata_json = add_metadata_json


@export("autograd.profiler.profile")
class autograd_profile(_Results):
    """The older profiler: the same events, without schedules; `enabled=False` does nothing."""

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        use_kineto: bool = False,
        use_cpu: bool = True,
    ):
        self.enabled = enabled
        self._options = (record_shapes, profile_memory, with_stack, with_flops)
        self._metadata: dict[str, Any] = {}
        self._entered = False

    def __enter__(self) -> Any:
        if not self.enabled:
            return None
        if self._entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self._entered = True
        self._running = Recorder(*self._options)
        _begin(self._running)
        return self

    def __exit__(self, *exc: object) -> bool:
        if self.enabled:
            _end(self._running)
            self._recorder = self._running
        return False

    @property
    def function_events(self) -> EventList:
        """All calls."""
        return self.events()

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all calls together, microseconds."""
        return self.events().self_cpu_time_total

    def table(self, sort_by: str | None = None, row_limit: int = 100, **options: Any) -> str:
        """Each call as a row; see EventList.table."""
        return self.events().table(sort_by=sort_by, row_limit=row_limit, **options)

    def total_average(self) -> FunctionEventAvg:
        """Everything together."""
        return self.events().total_average()

    def __str__(self) -> str:
        return "<unfinished minigrad.autograd.profile>" if self._recorder is None else self.table()
