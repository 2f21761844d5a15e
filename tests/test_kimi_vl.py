"""Kimi-VL whole: images in the text, conversations, generation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.kimi_vl.chat import SPECIAL_TOKENS, Processor, chat_text
from minigrad.models.kimi_vl.decode import generate
from minigrad.models.kimi_vl.images import ImageProcessor
from tests.kimi_reference import GRIDS, PATCHES
from tests.test_kimi_vision import MEDIA, build

TOKENS = [h * w // 4 for h, w in GRIDS]


def pixels(*which: int) -> dict[str, Any]:
    """Some of the reference's images, as arguments of the model."""
    stops = np.cumsum([h * w for h, w in GRIDS])
    found = [PATCHES[stops[i] - GRIDS[i][0] * GRIDS[i][1] : stops[i]] for i in which]
    grids = mg.tensor([GRIDS[i] for i in which])
    return {"pixel_values": mg.from_numpy(np.concatenate(found)), "image_grid_hws": grids}


def row(*parts: Any) -> list[int]:
    """Tokens, with an image's number i as the string "i"."""
    return [t for p in parts for t in ([MEDIA] * TOKENS[int(p)] if isinstance(p, str) else [p])]


def test_features_take_the_place_of_media_tokens() -> None:
    model, ids = build(), mg.tensor([row(1, "0", 2, 3, "2", 4)])
    embeds = model.embed(ids, **pixels(0, 2))
    text = model.language_model.model.embed_tokens(ids)
    found = model.image_features(**pixels(0, 2))
    media = ids == MEDIA
    np.testing.assert_array_equal(embeds[media].detach().numpy(), mg.cat(found, 0).detach().numpy())
    np.testing.assert_array_equal(embeds[~media].detach().numpy(), text[~media].detach().numpy())


def test_text_alone_is_the_language_model() -> None:
    model, ids = build(), mg.tensor([[1, 2, 3, 4]])
    np.testing.assert_array_equal(
        model(ids).detach().numpy(), model.language_model(ids).detach().numpy()
    )


def test_a_batch_equals_its_rows() -> None:
    """Several images in one row, one in another, none in the third; padded on the left."""
    model = build()
    rows = [row(1, "0", 2, "1", 3), row(4, "2", 5), row(6, 7)]
    which = [(0, 1), (2,), ()]
    length = max(map(len, rows))
    ids = np.array([[0] * (length - len(r)) + r for r in rows])
    mask = np.array([[0] * (length - len(r)) + [1] * len(r) for r in rows])
    with mg.no_grad():
        batch = model(mg.tensor(ids), mg.tensor(mask), **pixels(0, 1, 2))
        for i, (r, w) in enumerate(zip(rows, which, strict=True)):
            alone = model(mg.tensor([r]), **(pixels(*w) if w else {}))
            assert abs(batch[i, length - len(r) :] - alone[0]).max().item() < 1e-5


def test_decoding_after_images_equals_the_full_pass() -> None:
    model, ids = build(), mg.tensor([row(1, "0", 2, 3, 4, 5)])
    with mg.no_grad():
        full = model(ids, **pixels(0))
        cache = mg.models.Cache()
        parts = [model(ids[:, :8], cache=cache, **pixels(0))]
        parts += [model(ids[:, i : i + 1], cache=cache) for i in range(8, ids.shape[1])]
    assert abs(mg.cat(parts, 1) - full).max().item() < 1e-5


def test_gradients_reach_images_and_text() -> None:
    model, ids = build().train(), mg.tensor([row(1, "0", 2, 3)])
    model(ids, **pixels(0)).square().mean().backward()
    assert model.vision_tower.patch_embed.proj.weight.grad is not None
    assert model.language_model.model.embed_tokens.weight.grad[MEDIA].abs().sum().item() == 0


def test_media_tokens_and_images_must_come_out_even() -> None:
    model = build()
    with pytest.raises(ValueError, match="6 media tokens in input_ids, but no images"):
        model(mg.tensor([row(1, "0")]))
    with pytest.raises(
        ValueError, match=r"6 media tokens in input_ids, but 7 features of 2 images"
    ):
        model(mg.tensor([row(1, "0")]), **pixels(0, 1))


# ------------------------------------------------------------------------------ generation
def test_greedy_generation_is_the_likeliest_token_each_time() -> None:
    model, ids = build(), mg.tensor([row(1, "0", 2)])
    found = generate(model, ids, max_new_tokens=5, **pixels(0))
    assert found.shape == (1, ids.shape[1] + 5)
    with mg.no_grad():
        for token in found[0, ids.shape[1] :].tolist():
            assert model(ids, **pixels(0))[0, -1].argmax().item() == token
            ids = mg.cat([ids, mg.tensor([[token]])], 1)


def test_generation_of_a_padded_batch_equals_its_rows() -> None:
    model = build()
    rows = [row(1, "0", 2), [3, 4]]
    pad = len(rows[0]) - 2
    ids = mg.tensor([rows[0], [0] * pad + rows[1]])
    mask = mg.tensor([[1] * len(rows[0]), [0] * pad + [1, 1]])
    both = generate(model, ids, attention_mask=mask, max_new_tokens=6, **pixels(0)).tolist()
    assert (
        both[0] == generate(model, mg.tensor([rows[0]]), max_new_tokens=6, **pixels(0))[0].tolist()
    )
    assert both[1][pad:] == generate(model, mg.tensor([rows[1]]), max_new_tokens=6)[0].tolist()


def test_beams_see_the_images_of_their_prompts() -> None:
    model = build()
    ids = mg.tensor([row(1, "0", 2), row(3, "0", 4)])
    one_beam = generate(model, ids, max_new_tokens=4, **pixels(0, 4))
    beams = generate(model, ids, max_new_tokens=4, num_beams=1, **pixels(0, 4))
    np.testing.assert_array_equal(one_beam.numpy(), beams.numpy())
    several = generate(model, ids, max_new_tokens=4, num_beams=3, **pixels(0, 4)).tolist()
    for i, which in enumerate((0, 4)):
        alone = generate(model, ids[i : i + 1], max_new_tokens=4, num_beams=3, **pixels(which))
        assert alone[0].tolist() == several[i]


def test_text_alone_is_generated_by_any_means() -> None:
    """Options of `models.generate`, on Kimi-VL itself."""
    model, ids = build(), mg.tensor([[1, 2, 3], [4, 5, 6]])
    plain = mg.models.generate(model, ids, max_new_tokens=4)
    np.testing.assert_array_equal(plain.numpy(), generate(model, ids, max_new_tokens=4).numpy())
    beams = mg.models.generate(model, ids, max_new_tokens=4, num_beams=3)

    def score(found: Any) -> np.ndarray:
        with mg.no_grad():
            logps = model.language_model(found)[:, :-1].log_softmax(-1)
        return logps.gather(2, found[:, 1:].unsqueeze(2))[:, 2:].sum((1, 2)).numpy()

    assert (score(beams) >= score(plain) - 1e-5).all()
    drawn = mg.models.generate(model, ids, max_new_tokens=4, do_sample=True, temperature=1.5)
    assert drawn.shape == (2, 7)


# ------------------------------------------------------------------------------ conversations
def test_chat_text_is_the_published_template() -> None:
    content = [{"type": "image", "image": "x.png"}, {"type": "text", "text": "What is this?"}]
    assert chat_text([{"role": "user", "content": content}]) == (
        "<|im_system|>system<|im_middle|>You are a helpful assistant<|im_end|>"
        "<|im_user|>user<|im_middle|><|media_start|>image<|media_content|><|media_pad|>"
        "<|media_end|>What is this?<|im_end|><|im_assistant|>assistant<|im_middle|>"
    )
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
    ]
    assert chat_text(talk, add_generation_prompt=False) == (
        "<|im_system|>system<|im_middle|>Be brief.<|im_end|>"
        "<|im_user|>user<|im_middle|>Hello<|im_end|>"
        "<|im_assistant|>assistant<|im_middle|>Hi<|im_end|>"
    )
    with pytest.raises(ValueError, match="role 'tool'"):
        chat_text([{"role": "tool", "content": ""}])
    with pytest.raises(ValueError, match="type 'audio'"):
        chat_text([{"role": "user", "content": [{"type": "audio"}]}])


def test_processor_repeats_the_pad_for_each_token_of_an_image() -> None:
    pytest.importorskip("PIL")
    processor = Processor(lambda text: list(text.encode()), ImageProcessor())
    picture = np.zeros((40, 80, 3), np.uint8)  # 4 x 6 patches
    text = "<|media_start|>image<|media_content|><|media_pad|><|media_end|>?"
    inputs = processor([text, "a"], [picture])
    media = SPECIAL_TOKENS["<|media_pad|>"]
    first = [163602, *b"image", 163603, *[media] * 6, 163604, *b"?"]
    assert inputs.input_ids[0].tolist() == first
    assert inputs.input_ids[1].tolist() == [163585] * (len(first) - 1) + [*b"a"]
    assert inputs.attention_mask.sum(1).tolist() == [len(first), 1]
    assert inputs.image_grid_hws.tolist() == [[4, 6]]
    alone = processor("a")
    assert alone.pixel_values is None and alone.input_ids.tolist() == [[97]]
    with pytest.raises(ValueError, match="1 image placeholders, but 0 images"):
        processor(text)
