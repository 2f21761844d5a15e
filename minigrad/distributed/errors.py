"""What goes wrong between processes, under PyTorch's names."""

from __future__ import annotations


class DistError(RuntimeError):
    """Something went wrong in `minigrad.distributed`."""


class DistBackendError(DistError):
    """A collective failed: a rank died, hung, left, or called it with other arguments."""


class DistNetworkError(DistError):
    """A connection could not be made or broke."""


class DistStoreError(DistError):
    """A key did not appear in the store in time."""


class DistTimeoutError(DistBackendError, TimeoutError):
    """A rank did not answer within the timeout."""
