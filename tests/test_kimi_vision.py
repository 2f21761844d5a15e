"""Kimi-VL's eyes: MoonViT and the projector against transformers' numbers, and images as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.kimi_vl import images as images_module
from minigrad.models.kimi_vl.config import KimiVLConfig, TextConfig, VisionConfig
from minigrad.models.kimi_vl.images import ImageProcessor, video_frames
from minigrad.models.kimi_vl.layers import without_memory
from minigrad.models.kimi_vl.model import KimiVL
from minigrad.models.kimi_vl.moonvit import MoonViT, Segments, merge_patches
from minigrad.models.kimi_vl.rope import grid_angles
from tests.kimi_reference import GRIDS, PATCHES, TINY, VISION, transformers_features, weights
from tests.test_kimi_text import golden_numbers

MEDIA = 12  # the media token of the tiny model


def build(dtype: Any = None, **vision: Any) -> KimiVL:
    """The tiny model with weights that follow from their names."""
    sizes = {**VISION, "init_pos_emb_height": 8, "init_pos_emb_width": 8, **vision}
    model = KimiVL(KimiVLConfig(TextConfig(**TINY), VisionConfig(**sizes), MEDIA))
    values = weights({k: tuple(v.shape) for k, v in model.state_dict().items()})
    model.load_state_dict({k: mg.from_numpy(v) for k, v in values.items()})
    return model.to(dtype).eval() if dtype is not None else model.eval()


def features(model: KimiVL) -> np.ndarray:
    with mg.no_grad():
        found = model.image_features(mg.from_numpy(PATCHES), mg.tensor(GRIDS))
    return mg.cat(found, 0).numpy()


def golden() -> np.ndarray:
    return golden_numbers("features").reshape(-1, TINY["hidden_size"])


# ------------------------------------------------------------------------------ the whole
def test_features_are_those_of_transformers() -> None:
    np.testing.assert_allclose(features(build()), golden(), atol=1e-5, rtol=1e-5)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_golden_features_are_still_what_transformers_computes() -> None:
    pytest.importorskip("transformers.models.kimi_k25")
    np.testing.assert_allclose(transformers_features(), golden(), atol=2e-6)


def _mistake(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one of the mistakes that such a model is easily built with."""
    from minigrad.models.kimi_vl import moonvit, projector

    resize, gelu, angles = moonvit.interpolate, projector.gelu, moonvit.grid_angles

    def swapped(height: int, width: int, dim: int) -> np.ndarray:
        pairs = angles(height, width, dim).reshape(height * width, -1, 2)
        return pairs[..., ::-1].reshape(height * width, -1)

    def by_halves(x: Any, turns: Any) -> Any:
        half = x.shape[-1] // 2
        a, b, cos, sin = x[..., :half], x[..., half:], turns.real, turns.imag
        return mg.cat([a * cos - b * sin, b * cos + a * sin], -1)

    if name == "rows turn the even pairs":
        monkeypatch.setattr(moonvit, "grid_angles", swapped)
    elif name == "another theta":
        monkeypatch.setattr(moonvit, "grid_angles", lambda h, w, d: angles(h, w, d, 50000.0))
    elif name == "halves instead of pairs":
        monkeypatch.setattr(moonvit, "rotate", by_halves)
    elif name in ("bilinear", "align_corners", "antialias"):
        change = {
            "bilinear": {"mode": "bilinear"},
            "align_corners": {"align_corners": True},
            "antialias": {"antialias": True},
        }[name]
        monkeypatch.setattr(moonvit, "interpolate", lambda x, **k: resize(x, **{**k, **change}))
    elif name == "tanh in the projector":
        monkeypatch.setattr(projector, "gelu", lambda x: gelu(x, approximate="tanh"))
    elif name == "exact GELU in the tower":
        monkeypatch.setattr(moonvit, "gelu", lambda x, approximate: gelu(x))
    elif name == "images see each other":
        monkeypatch.setattr(moonvit, "Segments", lambda lengths: Segments([sum(lengths)]))


@pytest.mark.parametrize(
    "name",
    [
        "rows turn the even pairs",
        "another theta",
        "halves instead of pairs",
        "bilinear",
        "align_corners",
        "antialias",
        "tanh in the projector",
        "exact GELU in the tower",
        "images see each other",
    ],
)
def test_the_comparison_catches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _mistake(name, monkeypatch)
    assert abs(features(build()) - golden()).max() > 1e-4


def test_packed_images_equal_the_images_one_by_one() -> None:
    model = build()
    with mg.no_grad():
        packed = model.vision_tower(mg.from_numpy(PATCHES), mg.tensor(GRIDS))
        start = 0
        for grid, image in zip(GRIDS, packed, strict=True):
            stop = start + grid[0] * grid[1]
            (alone,) = model.vision_tower(mg.from_numpy(PATCHES[start:stop]), mg.tensor([grid]))
            assert abs(alone - image).max().item() < 1e-6 * abs(image).max().item()
            start = stop


# ------------------------------------------------------------------------------ sizes
def test_parameter_counts_are_the_published_ones() -> None:
    with without_memory():
        model = KimiVL()
    counts = [
        sum(p.numel() for p in part.parameters())
        for part in (model.vision_tower, model.multi_modal_projector)
    ]
    assert counts == [416_866_032, 30_679_808]
    vision = [*model.vision_tower.state_dict(), *model.multi_modal_projector.state_dict()]
    assert len(vision) == 335
    state = model.state_dict()
    assert len(state) == 5652
    assert sum(t.numel() for t in state.values()) == 16_407_656_048


@pytest.mark.parametrize(
    ("size", "tokens", "tokens_2506"),
    [
        ((224, 224), 64, 64),
        ((448, 448), 256, 256),
        ((512, 512), 361, 361),
        ((640, 480), 414, 414),
        ((896, 896), 1024, 1024),
        ((1024, 1024), 1089, 1369),
        ((1920, 1080), 1032, 2691),
    ],
)
def test_tokens_of_an_image(size: tuple[int, int], tokens: int, tokens_2506: int) -> None:
    assert ImageProcessor().tokens(*size) == tokens
    assert ImageProcessor(in_token_limit=16384).tokens(*size) == tokens_2506


# ------------------------------------------------------------------------------ parts
def test_columns_turn_even_pairs_and_rows_odd_ones() -> None:
    angles = grid_angles(3, 5, 8)
    assert angles.shape == (15, 4)
    y, x = 2, 3
    np.testing.assert_allclose(angles[y * 5 + x], [x, y, x * 1e-2, y * 1e-2])


def test_neighbourhoods_are_merged_row_by_row() -> None:
    x = mg.arange(4 * 6).view(24, 1)
    merged = merge_patches(x, 4, 6, (2, 2))
    assert merged.shape == (6, 4, 1)
    assert merged[1].flatten().tolist() == [2, 3, 8, 9]
    assert merged[3].flatten().tolist() == [12, 13, 18, 19]


@pytest.mark.parametrize("lengths", [[3, 5, 3, 1], [4, 4, 4], [1, 10, 1], [12]])
@pytest.mark.parametrize("call", [0, 4096])
def test_segments_equal_a_block_diagonal_mask(
    lengths: list[int], call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minigrad.models.kimi_vl.moonvit.CALL", call)
    q, k, v = (mg.randn(12, 2, 4, dtype=mg.float64, requires_grad=True) for _ in range(3))
    of = np.repeat(np.arange(len(lengths)), lengths)
    mask = mg.tensor(of[:, None] == of[None])
    heads = [t.transpose(0, 1) for t in (q, k, v)]
    dense = mg.nn.functional.scaled_dot_product_attention(*heads, mask).transpose(0, 1)
    segments = Segments(lengths)
    assert segments.cu_seqlens.tolist() == [0, *np.cumsum(lengths)]
    assert segments.padded == (call > 0 or len(set(lengths)) == 1)
    packed = segments.attend(q, k, v)
    np.testing.assert_allclose(packed.detach().numpy(), dense.detach().numpy(), rtol=1e-12)
    g = mg.randn(12, 2, 4, dtype=mg.float64)
    for a, b in zip(
        mg.autograd.grad(packed, [q, k, v], g), mg.autograd.grad(dense, [q, k, v], g), strict=True
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_gradients_reach_every_weight_of_tower_and_projector() -> None:
    model = build()
    found = model.image_features(mg.from_numpy(PATCHES), mg.tensor(GRIDS))
    mg.cat(found, 0).square().sum().backward()
    parts = (model.vision_tower, model.multi_modal_projector)
    missing = [n for part in parts for n, p in part.named_parameters() if p.grad is None]
    assert not missing


def test_grids_that_do_not_fit() -> None:
    tower = build().vision_tower
    with pytest.raises(ValueError, match="a grid of 3 x 4 patches; expected multiples of 2 x 2"):
        tower(mg.zeros(12, 3, 4, 4), mg.tensor([[3, 4]]))
    with pytest.raises(ValueError, match=r"expected shape \(16, 3, 4, 4\)"):
        tower(mg.zeros(12, 3, 4, 4), mg.tensor([[4, 4]]))
    with pytest.raises(ValueError, match="below 512"):
        tower(mg.zeros(12, 3, 4, 4), mg.tensor([[512, 2]]))
    assert tower(mg.zeros(0, 3, 4, 4), mg.zeros(0, 2, dtype=mg.int64)) == []
    with pytest.raises(ValueError, match="without patches"):
        Segments([3, 0])


# ------------------------------------------------------------------------------ image files
def _picture(width: int, height: int) -> Any:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    return image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_files_become_patches(tmp_path: Path, kind: str) -> None:
    picture = _picture(50, 40)
    path = tmp_path / f"image.{kind}"
    picture.save(path)
    pixels, grids = ImageProcessor()([path, str(path), picture])
    assert grids.tolist() == [[4, 4]] * 3  # 40 -> 56 pixels high, 50 -> 56 wide
    assert pixels.shape == (48, 3, 14, 14) and pixels.dtype is mg.float32
    np.testing.assert_array_equal(pixels[:16].numpy(), pixels[16:32].numpy())
    if kind == "png":
        np.testing.assert_array_equal(pixels[:16].numpy(), pixels[32:].numpy())


def test_padding_is_black_before_normalising() -> None:
    pixels, _ = ImageProcessor()([_picture(50, 40)])
    image = pixels.view(4, 4, 3, 14, 14).permute(2, 0, 3, 1, 4).reshape(3, 56, 56).numpy()
    assert (image[:, 40:] == -1).all() and (image[:, :, 50:] == -1).all()
    expected = np.asarray(_picture(50, 40)).astype(np.float32).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(image[:, :40, :50], expected, atol=1e-6)


def test_large_images_are_scaled_to_the_limit() -> None:
    processor = ImageProcessor(in_token_limit=64)
    picture = _picture(300, 200)
    assert processor.scaled_size(300, 200) == (139, 93)  # 21·14 patches: √(64/294)
    small = np.asarray(picture.resize((139, 93), 3))
    np.testing.assert_array_equal(processor.pixels(picture)[:93, :139], small)
    assert processor.grid(300, 200) == (8, 10)


def test_images_are_cut_around_the_centre_without_padding() -> None:
    processor = ImageProcessor(pad_input=False)
    picture = _picture(50, 40)
    np.testing.assert_array_equal(processor.pixels(picture), np.asarray(picture)[6:34, 4:46])


def test_grey_and_transparent_pictures_and_arrays() -> None:
    processor = ImageProcessor()
    picture = _picture(28, 28)
    for one in (picture.convert("L"), picture.convert("RGBA"), np.asarray(picture)):
        assert processor([one])[0].shape == (4, 3, 14, 14)
    np.testing.assert_array_equal(
        processor([np.asarray(picture)])[0].numpy(), processor([picture])[0].numpy()
    )
    with pytest.raises(TypeError, match="uint8 array"):
        processor([np.zeros((28, 28, 3))])


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="512 x 2 patches"):
        ImageProcessor(in_token_limit=10**6).grid(512 * 14, 14)
    with pytest.raises(ValueError, match="smaller than one patch"):
        ImageProcessor(pad_input=False).grid(10, 100)


def test_no_images_make_empty_arrays() -> None:
    pixels, grids = ImageProcessor()([])
    assert pixels.shape == (0, 3, 14, 14) and grids.shape == (0, 2)


def test_frames_of_a_video() -> None:
    assert video_frames(range(100), 4) == [0, 33, 66, 99]
    assert video_frames([1, 2], 4) == [1, 2]
    with pytest.raises(ValueError, match="at least 1"):
        video_frames([1], 0)


def test_pillow_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'minigrad\[vision\]'"):
        images_module._as_picture("x.png")


def test_published_sizes_are_the_defaults() -> None:
    with without_memory():
        tower = MoonViT()
    assert len(tower.encoder.blocks) == 27
    assert tower.patch_embed.pos_emb.weight.shape == (64, 64, 1152)
