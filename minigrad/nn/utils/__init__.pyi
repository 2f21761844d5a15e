# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import clip_grad as clip_grad
from . import construct as construct
from . import convert_parameters as convert_parameters
from . import fusion as fusion
from . import init as init
from . import memory_format as memory_format
from . import parametrizations as parametrizations
from . import parametrize as parametrize
from . import prune as prune
from . import rnn as rnn
from . import stateless as stateless
from . import vector as vector
from . import weight_hooks as weight_hooks
from minigrad.nn.utils.clip_grad import clip_grad_norm_ as clip_grad_norm
from minigrad.nn.utils.clip_grad import clip_grad_norm_ as clip_grad_norm_
from minigrad.nn.utils.clip_grad import clip_grad_value_ as clip_grad_value_
from minigrad.nn.utils.clip_grad import clip_grads_with_norm_ as clip_grads_with_norm_
from minigrad.nn.utils.construct import convert_conv2d_weight_memory_format as convert_conv2d_weight_memory_format
from minigrad.nn.utils.construct import convert_conv3d_weight_memory_format as convert_conv3d_weight_memory_format
from minigrad.nn.utils.fusion import fuse_conv_bn_eval as fuse_conv_bn_eval
from minigrad.nn.utils.fusion import fuse_conv_bn_weights as fuse_conv_bn_weights
from minigrad.nn.utils.fusion import fuse_linear_bn_eval as fuse_linear_bn_eval
from minigrad.nn.utils.fusion import fuse_linear_bn_weights as fuse_linear_bn_weights
from minigrad.nn.utils.clip_grad import get_total_norm as get_total_norm
from minigrad.nn.utils.vector import parameters_to_vector as parameters_to_vector
from minigrad.nn.utils.weight_hooks import remove_spectral_norm as remove_spectral_norm
from minigrad.nn.utils.weight_hooks import remove_weight_norm as remove_weight_norm
from minigrad.nn.utils.construct import skip_init as skip_init
from minigrad.nn.utils.weight_hooks import spectral_norm as spectral_norm
from minigrad.nn.utils.vector import vector_to_parameters as vector_to_parameters
from minigrad.nn.utils.weight_hooks import weight_norm as weight_norm
