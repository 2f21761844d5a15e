"""One variant of a captured function, from its first call to its replays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ..backend.memory import trim
from ..core.tensor import Tensor
from ..core.trees import flatten
from .backward import walker
from .replay import ProgramReplay, Recording, Replay, agree
from .trace import Recorder, recording_into


class Variant:
    """One combination of shapes, dtypes, flags and Python arguments, and how far it has come."""

    def __init__(self, captured: Any):
        self.captured = captured
        self.run: Callable = self._discover
        self.first: Recorder | None = None
        self.replay: Replay | None = None

    def _eager(self, leaves: Any, args: Any, kwargs: Any) -> Any:
        return self.captured.function(*args, **kwargs)

    def _give_up(self, why: str) -> None:
        """Eager from now on, with one warning."""
        function = self.captured.function
        name = getattr(function, "__qualname__", type(function).__name__)
        text = f"compile: {name} runs eagerly, because it cannot replay {why}"
        self.run, self.first, self.replay = self._eager, None, None
        if self.captured.fullgraph:
            raise RuntimeError(text)
        warnings.warn(text, UserWarning, stacklevel=5)

    def _discover(self, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        """The first call: eager, noted only to learn which arrays come from outside and stay."""
        recorder = Recorder([x._data for x in leaves if isinstance(x, Tensor)])
        with recording_into(recorder, walker(recorder)):
            result = self.captured.function(*args, **kwargs)
        self.first, self.run = recorder, self._capture
        recorder.forget()
        if recorder.failed:
            self._give_up(recorder.failed)
        return result

    def _capture(self, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        """The second call: eager, on copies of the arguments, whose memory becomes the replay's."""
        assert self.first is not None
        recording = Recording(self.captured, leaves, self.first)
        result = recording.run(flatten((args, kwargs))[1])
        if recording.recorder.failed:
            self._give_up(recording.recorder.failed)
        else:
            self.first, self.replay, self.run = (
                None,
                ProgramReplay(self.captured, recording),
                self._verify,
            )
        return result

    def _verify(self, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        """The third call: a replay, and the eager run from the same state; they must agree."""
        replay = self.replay
        assert replay is not None
        if not replay.fits(leaves):
            return self._eager(leaves, args, kwargs)
        before = replay.snapshot(None)
        ours = replay.snapshot(replay(leaves))
        replay.restore(before)
        result = self.captured.function(*args, **kwargs)
        theirs = replay.snapshot(result)
        if agree(before, ours, theirs) and (not replay.open or replay.checked(result, leaves)):
            self.run = self._replay
            del before, ours, theirs
            trim()
        else:
            self._give_up("this function to the same results (something in it is not noted)")
        return result

    def _replay(self, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        replay = self.replay
        assert replay is not None
        if not replay.fits(leaves):
            return self._eager(leaves, args, kwargs)
        return replay(leaves)
