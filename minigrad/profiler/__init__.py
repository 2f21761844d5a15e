"""The profiler: what each op costs, forward and backward, in time and memory.

profiler.py      profile, schedule, record_function: what programs use
recorder.py      how calls are timed while a profiler is on
events.py        events, averages, the table
export_trace.py  Chrome traces and flame graphs
"""

from __future__ import annotations

from . import events, profiler

__all__ = ["events", "profiler"]
