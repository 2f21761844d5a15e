"""Mixed precision: `autocast` chooses dtypes op by op, `GradScaler` keeps small gradients alive.

state.py          what autocast is set to in this thread
policies.py       which ops are cast, and how they are intercepted
autocast_mode.py  the block and decorator; custom_fwd and custom_bwd for own Functions
grad_scaler.py    scaling of losses and unscaling of gradients
"""

from __future__ import annotations

from . import autocast_mode, grad_scaler, policies

__all__ = ["autocast_mode", "grad_scaler", "policies"]
