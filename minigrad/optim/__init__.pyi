# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import adadelta as adadelta
from . import adafactor as adafactor
from . import adagrad as adagrad
from . import adam as adam
from . import adamax as adamax
from . import adamw as adamw
from . import asgd as asgd
from . import lamb as lamb
from . import lbfgs as lbfgs
from . import lion as lion
from . import lr_scheduler as lr_scheduler
from . import muon as muon
from . import nadam as nadam
from . import optimizer as optimizer
from . import radam as radam
from . import rmsprop as rmsprop
from . import rprop as rprop
from . import sgd as sgd
from . import sparse_adam as sparse_adam
from . import swa_utils as swa_utils
from minigrad.optim.asgd import ASGD as ASGD
from minigrad.optim.adadelta import Adadelta as Adadelta
from minigrad.optim.adafactor import Adafactor as Adafactor
from minigrad.optim.adagrad import Adagrad as Adagrad
from minigrad.optim.adam import Adam as Adam
from minigrad.optim.adamw import AdamW as AdamW
from minigrad.optim.adamax import Adamax as Adamax
from minigrad.optim.lamb import Lamb as LAMB
from minigrad.optim.lbfgs import LBFGS as LBFGS
from minigrad.optim.lamb import Lamb as Lamb
from minigrad.optim.lion import Lion as Lion
from minigrad.optim.muon import Muon as Muon
from minigrad.optim.nadam import NAdam as NAdam
from minigrad.optim.optimizer import Optimizer as Optimizer
from minigrad.optim.radam import RAdam as RAdam
from minigrad.optim.rmsprop import RMSprop as RMSprop
from minigrad.optim.rprop import Rprop as Rprop
from minigrad.optim.sgd import SGD as SGD
from minigrad.optim.sgd import SGDW as SGDW
from minigrad.optim.sparse_adam import SparseAdam as SparseAdam
