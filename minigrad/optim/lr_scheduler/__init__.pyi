# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import base as base
from . import combined as combined
from . import cosine as cosine
from . import cycles as cycles
from . import factors as factors
from . import plateau as plateau
from . import warmup as warmup
from minigrad.optim.lr_scheduler.combined import ChainedScheduler as ChainedScheduler
from minigrad.optim.lr_scheduler.factors import ConstantLR as ConstantLR
from minigrad.optim.lr_scheduler.cosine import CosineAnnealingLR as CosineAnnealingLR
from minigrad.optim.lr_scheduler.cosine import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from minigrad.optim.lr_scheduler.cycles import CyclicLR as CyclicLR
from minigrad.optim.lr_scheduler.factors import ExponentialLR as ExponentialLR
from minigrad.optim.lr_scheduler.warmup import InverseSqrtLR as InverseSqrtLR
from minigrad.optim.lr_scheduler.base import LRScheduler as LRScheduler
from minigrad.optim.lr_scheduler.factors import LambdaLR as LambdaLR
from minigrad.optim.lr_scheduler.factors import LinearLR as LinearLR
from minigrad.optim.lr_scheduler.factors import MultiStepLR as MultiStepLR
from minigrad.optim.lr_scheduler.factors import MultiplicativeLR as MultiplicativeLR
from minigrad.optim.lr_scheduler.cycles import OneCycleLR as OneCycleLR
from minigrad.optim.lr_scheduler.factors import PolynomialLR as PolynomialLR
from minigrad.optim.lr_scheduler.plateau import ReduceLROnPlateau as ReduceLROnPlateau
from minigrad.optim.lr_scheduler.combined import SequentialLR as SequentialLR
from minigrad.optim.lr_scheduler.factors import StepLR as StepLR
from minigrad.optim.lr_scheduler.warmup import WSDLR as WSDLR
from minigrad.optim.lr_scheduler.warmup import WarmupCosineLR as WarmupCosineLR
from minigrad.optim.lr_scheduler.warmup import WarmupLR as WarmupLR
from minigrad.optim.lr_scheduler.warmup import WarmupLinearLR as WarmupLinearLR
from minigrad.optim.lr_scheduler.base import _LRScheduler as _LRScheduler
