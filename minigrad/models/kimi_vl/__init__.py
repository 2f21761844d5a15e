"""Kimi-VL (Kimi team, 2504.07491): a mixture-of-experts language model that sees.

    model = load_checkpoint("Kimi-VL-A3B-Instruct", dtype="bfloat16")
    processor = Processor(encode)                       # encode: ordinary text to numbers
    question = [{"type": "image"}, {"type": "text", "text": "What is this?"}]
    inputs = processor(chat_text([{"role": "user", "content": question}]), ["photo.jpg"])
    tokens = generate(model, **inputs._asdict(), max_new_tokens=50,
                      eos_token_id=SPECIAL_TOKENS["<|im_end|>"])

The files in reading order:

    config.py      config.json as it is published
    layers.py      linear maps and tables that may have no memory
    rope.py        pairs turned by position: along a text, over an image; YaRN
    mla.py         latent attention, expanded and absorbed
    moe.py         the gate, its balance, the layer
    grouped.py     the experts' products, sorted by expert
    language.py    the language model (DeepSeek-V3's architecture, Moonlight's sizes)
    moonvit.py     images of any size in one sequence
    images.py      files to patches
    projector.py   image features to the language model's vectors
    model.py       all of it
    chat.py        conversations to tokens
    decode.py      text, token by token
    checkpoint.py  sharded safetensors, mapped and streamed
    training.py    Muon beside AdamW, losses, loads of experts
"""

from __future__ import annotations

from .chat import SPECIAL_TOKENS, Processor, chat_text
from .checkpoint import CheckpointMismatch, load_checkpoint, load_weights, save_checkpoint
from .config import KimiVLConfig, TextConfig, VisionConfig, read_config
from .decode import generate
from .images import ImageProcessor, video_frames
from .language import DeepseekV3, gates, parameter_counts
from .layers import without_memory
from .model import KimiVL
from .moe import MoE
from .moonvit import MoonViT, merge_patches
from .rope import frequencies, rotate
from .training import (
    LoadMonitor,
    SigLIPLoss,
    balance,
    caption_loss,
    optimizers,
    sequence_aux_loss,
    vision_pretraining_loss,
)

__all__ = [
    "SPECIAL_TOKENS",
    "CheckpointMismatch",
    "DeepseekV3",
    "ImageProcessor",
    "KimiVL",
    "KimiVLConfig",
    "LoadMonitor",
    "MoE",
    "MoonViT",
    "Processor",
    "SigLIPLoss",
    "TextConfig",
    "VisionConfig",
    "balance",
    "caption_loss",
    "chat_text",
    "frequencies",
    "gates",
    "generate",
    "load_checkpoint",
    "load_weights",
    "merge_patches",
    "optimizers",
    "parameter_counts",
    "read_config",
    "rotate",
    "save_checkpoint",
    "sequence_aux_loss",
    "video_frames",
    "vision_pretraining_loss",
    "without_memory",
]
