"""The modules under the names of PyTorch's files: `nn.modules.batchnorm._BatchNorm` and the like.

Programs import from there (`from torch.nn.modules.utils import _pair`) and ask `isinstance` about
the bases that have no public name; those are given here with the class that plays their part.
"""

from __future__ import annotations

from typing import Any

from ..export import export, get_symbol_from_name
from .layers import conv, dropout, loss, norm, padding, pooling
from .state import _IncompatibleKeys

FILES = {
    "activation": """Threshold ReLU RReLU Hardtanh ReLU6 Sigmoid Hardsigmoid Tanh SiLU Mish
        Hardswish ELU CELU SELU GLU GELU Hardshrink LeakyReLU LogSigmoid Softplus Softshrink
        MultiheadAttention PReLU Softsign Tanhshrink Softmin Softmax Softmax2d LogSoftmax""",
    "adaptive": "AdaptiveLogSoftmaxWithLoss",
    "batchnorm": """BatchNorm1d LazyBatchNorm1d BatchNorm2d LazyBatchNorm2d BatchNorm3d
        LazyBatchNorm3d SyncBatchNorm""",
    "channelshuffle": "ChannelShuffle",
    "container": "Container Sequential ModuleList ModuleDict ParameterList ParameterDict",
    "conv": """Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d
        LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d""",
    "distance": "PairwiseDistance CosineSimilarity",
    "dropout": "Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout",
    "flatten": "Flatten Unflatten",
    "fold": "Fold Unfold",
    "instancenorm": """InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d
        LazyInstanceNorm2d LazyInstanceNorm3d""",
    "linear": "Bilinear Identity LazyLinear Linear",
    "linear_cross_entropy_options": "LinearCrossEntropyOptions",
    "loss": """L1Loss NLLLoss NLLLoss2d PoissonNLLLoss GaussianNLLLoss KLDivLoss MSELoss BCELoss
        BCEWithLogitsLoss HingeEmbeddingLoss MultiLabelMarginLoss SmoothL1Loss HuberLoss
        SoftMarginLoss CrossEntropyLoss LinearCrossEntropyLoss MultiLabelSoftMarginLoss
        CosineEmbeddingLoss MarginRankingLoss MultiMarginLoss TripletMarginLoss
        TripletMarginWithDistanceLoss CTCLoss""",
    "normalization": "LocalResponseNorm CrossMapLRN2d LayerNorm GroupNorm RMSNorm",
    "padding": """CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d
        ConstantPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d
        ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d""",
    "pixelshuffle": "PixelShuffle PixelUnshuffle",
    "pooling": """MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d AvgPool1d
        AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d
        AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d
        AdaptiveAvgPool3d""",
    "rnn": "RNNBase RNN LSTM GRU RNNCellBase RNNCell LSTMCell GRUCell",
    "sparse": "Embedding EmbeddingBag",
    "transformer": """Transformer TransformerEncoder TransformerDecoder TransformerEncoderLayer
        TransformerDecoderLayer""",
    "upsampling": "Upsample UpsamplingNearest2d UpsamplingBilinear2d",
}
"""File of `torch.nn.modules` -> the modules that it defines."""

BASES: dict[str, Any] = {
    "batchnorm._BatchNorm": norm._BatchNorm,
    "batchnorm._NormBase": norm._Running,
    "conv._ConvNd": conv._Conv,
    "conv._ConvTransposeNd": conv._ConvTranspose,
    "dropout._DropoutNd": dropout._Dropout,
    "instancenorm._InstanceNorm": norm._InstanceNorm,
    "loss._Loss": loss._Loss,
    "loss._WeightedLoss": loss._WeightedLoss,
    "module._IncompatibleKeys": _IncompatibleKeys,
    "padding._CircularPadNd": padding._CircularPad,
    "padding._ConstantPadNd": padding._ConstantPad,
    "padding._ReflectionPadNd": padding._ReflectionPad,
    "padding._ReplicationPadNd": padding._ReplicationPad,
    "pooling._AvgPoolNd": pooling._AvgPool,
    "pooling._LPPoolNd": pooling._LPPool,
    "pooling._MaxPoolNd": pooling._MaxPool,
    "pooling._MaxUnpoolNd": pooling._MaxUnpool,
}
"""Name below `torch.nn.modules` -> the base class in its place here."""


def export_files() -> None:
    """Give every module its name in PyTorch's file, and in `nn.modules` itself."""
    for file, names in FILES.items():
        for name in names.split():
            export(f"nn.modules.{file}.{name}", f"nn.modules.{name}", allow_multiple_exports=True)(
                get_symbol_from_name(f"nn.{name}")
            )
    export("nn.modules.Module", allow_multiple_exports=True)(get_symbol_from_name("nn.Module"))
    for name, base in BASES.items():
        export(f"nn.modules.{name}", allow_multiple_exports=True)(base)


export_files()
