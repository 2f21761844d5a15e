# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.core.anomaly import detect_anomaly as detect_anomaly
from minigrad.core.anomaly import set_detect_anomaly as set_detect_anomaly
