"""Grad mode, inference mode, anomaly mode: what the engine does while an op runs.

One immutable `Mode` lives in a context variable, so every thread (and asyncio task) has its own,
and an op asks for all switches with a single look-up.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from ..export import export

F = TypeVar("F", bound=Callable[..., Any])


class Mode(NamedTuple):
    """The switches an op looks at. `saved_hooks` is a stack of (pack, unpack) pairs; where they are
    refused, `hooks_refused` says why.
    """

    grad: bool = True
    inference: bool = False
    anomaly: bool = False
    check_nan: bool = False
    saved_hooks: tuple[tuple[Callable, Callable], ...] = ()
    hooks_refused: str | None = None


# Ops compare with `is DEFAULT`: the common modes exist once.
DEFAULT = Mode()
NO_GRAD = Mode(grad=False)
MODE: ContextVar[Mode] = ContextVar("minigrad_mode", default=DEFAULT)


def set_mode(mode: Mode) -> None:
    """Make `mode` the current one."""
    if mode is not DEFAULT and mode is not NO_GRAD:
        mode = DEFAULT if mode == DEFAULT else NO_GRAD if mode == NO_GRAD else mode
    MODE.set(mode)


def with_grad(mode: Mode, grad: bool) -> Mode:
    """`mode` with recording on or off."""
    if mode is DEFAULT or mode is NO_GRAD:
        return DEFAULT if grad else NO_GRAD
    return mode._replace(grad=grad)


class ModeContext:
    """A context manager that changes switches of the mode and is also a decorator."""

    def __init__(self, **switches: Any):
        self._switches = switches
        self._outer: list[Mode] = []

    def __enter__(self) -> Any:
        outer = MODE.get()
        self._outer.append(outer)
        set_mode(outer._replace(**self._switches))
        return self

    def __exit__(self, *exc: object) -> None:
        set_mode(self._outer.pop())

    def clone(self) -> ModeContext:
        return ModeContext(**self._switches)

    def __call__(self, func: F) -> F:
        if inspect.isgeneratorfunction(func):
            return _wrap_generator(self, func)  # type: ignore[return-value]

        @functools.wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return func(*args, **kwargs)

        return run  # type: ignore[return-value]


def _wrap_generator(context: ModeContext, func: Callable) -> Callable:
    """A decorated generator holds the mode only while its own body runs, not while its consumer
    does.
    """

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        with context.clone():
            body = func(*args, **kwargs)
            send: Callable[[], Any] = functools.partial(next, body)
        while True:
            try:
                with context.clone():
                    value = send()
            except StopIteration as stop:
                return stop.value
            try:
                received = yield value
            except GeneratorExit:
                with context.clone():
                    body.close()
                raise
            except BaseException as error:  # handed on to the body, as `yield from` would
                send = functools.partial(body.throw, error)
            else:
                send = functools.partial(body.send, received)

    return run


@export("no_grad", "autograd.no_grad", "autograd.grad_mode.no_grad")
class no_grad(ModeContext):
    """Nothing inside is recorded; results have requires_grad=False. Context manager and
    decorator.
    """

    def __init__(self, func: Callable | None = None):
        super().__init__(grad=False)

    def __new__(cls, func: Callable | None = None) -> Any:
        return super().__new__(cls) if func is None else no_grad()(func)


@export("enable_grad", "autograd.enable_grad", "autograd.grad_mode.enable_grad")
class enable_grad(ModeContext):
    """Recording is on again inside, e.g. within a no_grad block. Context manager and decorator."""

    def __init__(self, func: Callable | None = None):
        super().__init__(grad=True)

    def __new__(cls, func: Callable | None = None) -> Any:
        return super().__new__(cls) if func is None else enable_grad()(func)


@export("set_grad_enabled", "autograd.set_grad_enabled", "autograd.grad_mode.set_grad_enabled")
class set_grad_enabled(ModeContext):
    """Recording on or off: at once when called, until the end of the block when used with
    `with`.
    """

    def __init__(self, mode: bool):
        super().__init__(grad=bool(mode))
        self.mode = bool(mode)
        self._before: Mode | None = MODE.get()
        set_mode(MODE.get()._replace(grad=self.mode))

    def __enter__(self) -> Any:
        self._outer.append(MODE.get() if self._before is None else self._before)
        self._before = None
        set_mode(MODE.get()._replace(grad=self.mode))
        return self

    def __call__(self, func: F) -> F:
        if self._before is not None:  # used as a decorator: the call above must not take effect
            set_mode(self._before)
            self._before = None
        return super().__call__(func)


@export("inference_mode", "autograd.inference_mode", "autograd.grad_mode.inference_mode")
class inference_mode(ModeContext):
    """no_grad, and tensors made inside carry no version counter and can never take part in
    autograd.
    """

    def __init__(self, mode: bool | Callable = True):
        super().__init__(**({"grad": False, "inference": True} if mode else {"inference": False}))

    def __new__(cls, mode: bool | Callable = True) -> Any:
        return inference_mode()(mode) if callable(mode) else super().__new__(cls)


@export("is_grad_enabled")
def is_grad_enabled() -> bool:
    """Whether ops are being recorded in this thread."""
    return MODE.get().grad


@export("is_inference_mode_enabled")
def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on in this thread."""
    return MODE.get().inference
