# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.loss import BCELoss as BCELoss
from minigrad.nn.layers.loss import BCEWithLogitsLoss as BCEWithLogitsLoss
from minigrad.nn.layers.loss import CTCLoss as CTCLoss
from minigrad.nn.layers.margin import CosineEmbeddingLoss as CosineEmbeddingLoss
from minigrad.nn.layers.loss import CrossEntropyLoss as CrossEntropyLoss
from minigrad.nn.layers.loss import GaussianNLLLoss as GaussianNLLLoss
from minigrad.nn.layers.margin import HingeEmbeddingLoss as HingeEmbeddingLoss
from minigrad.nn.layers.loss import HuberLoss as HuberLoss
from minigrad.nn.layers.loss import KLDivLoss as KLDivLoss
from minigrad.nn.layers.loss import L1Loss as L1Loss
from minigrad.nn.layers.vocabulary import LinearCrossEntropyLoss as LinearCrossEntropyLoss
from minigrad.nn.layers.loss import MSELoss as MSELoss
from minigrad.nn.layers.margin import MarginRankingLoss as MarginRankingLoss
from minigrad.nn.layers.margin import MultiLabelMarginLoss as MultiLabelMarginLoss
from minigrad.nn.layers.margin import MultiLabelSoftMarginLoss as MultiLabelSoftMarginLoss
from minigrad.nn.layers.margin import MultiMarginLoss as MultiMarginLoss
from minigrad.nn.layers.loss import NLLLoss as NLLLoss
from minigrad.nn.layers.deprecated import NLLLoss2d as NLLLoss2d
from minigrad.nn.layers.loss import PoissonNLLLoss as PoissonNLLLoss
from minigrad.nn.layers.loss import SmoothL1Loss as SmoothL1Loss
from minigrad.nn.layers.margin import SoftMarginLoss as SoftMarginLoss
from minigrad.nn.layers.margin import TripletMarginLoss as TripletMarginLoss
from minigrad.nn.layers.margin import TripletMarginWithDistanceLoss as TripletMarginWithDistanceLoss
from minigrad.nn.layers.loss import _Loss as _Loss
from minigrad.nn.layers.loss import _WeightedLoss as _WeightedLoss
