"""Data, trainers and the command line of minigrad.alignment, on models that train in a second."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import alignment, models
from minigrad.alignment import cli
from minigrad.alignment.dpo import Reference, pair_batch
from minigrad.alignment.training import CHECKPOINT, METRICS

pytest.importorskip("tokenizers")
TEXTS = ["the cat sat on the mat.", "a dog ran far away", "the sun is hot.", "we go home"] * 6
PAIRS = [
    {"prompt": "the", "chosen": " cat sat.", "rejected": " dog ran far away"},
    {"prompt": "a dog", "chosen": " sat.", "rejected": " ran far"},
    {"prompt": "we", "chosen": " go.", "rejected": " go home"},
    {"prompt": "the sun", "chosen": " sat on the mat.", "rejected": " is"},
] * 2
PROMPTS = [{"prompt": "the"}, {"prompt": "a dog"}, {"prompt": "we go"}]


@pytest.fixture(scope="module")
def tokenizer():
    return models.Tokenizer.train_bpe(TEXTS, 290)


def config(tokenizer, **changes):
    sizes = {
        "n_positions": 64,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 2,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }
    return models.GPT2Config(vocab_size=tokenizer.vocab_size, **{**sizes, **changes})


@pytest.fixture
def model(tokenizer):
    mg.manual_seed(1)
    return models.GPT2LMHeadModel(config(tokenizer))


@pytest.fixture
def critic(tokenizer):
    mg.manual_seed(2)
    return models.GPT2ForSequenceClassification(config(tokenizer))


def options(**changes):
    return {"steps": 3, "batch_size": 4, "lr": 1e-3, "progress": False, **changes}


def distance(a, b) -> float:
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max((x - y).abs().max().item() for x, y in pairs)


def full_stop(prompts, answers):
    return [float(answer.endswith(".")) for answer in answers]


def letters(prompts, answers):
    return [len(answer) / 10 for answer in answers]


# ---------------------------------------------------------------------------- data
@pytest.mark.parametrize(
    "kind, line, word",
    [
        ("completion", '{"prompt": "a"}', "no 'completion'; it has prompt"),
        ("completion", '{"prompt": "a", "completion": 3}', "must be str, not int"),
        ("completion", "{'prompt'}", "not JSON"),
        ("completion", "[1]", "expected an object"),
        ("pair", '{"prompt": "a", "chosen": "b", "rejected": "c", "margin": "d"}', "'margin'"),
        ("label", '{"prompt": "a", "completion": "b", "label": "yes"}', "must be bool"),
        ("ranking", '{"prompt": "a", "ranked": ["b"]}', "two strings"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, kind, line, word) -> None:
    good = {
        "completion": {"prompt": "a", "completion": "b"},
        "pair": {"prompt": "a", "chosen": "b", "rejected": "c", "margin": 0.5},
        "label": {"prompt": "a", "completion": "b", "label": True},
        "ranking": {"prompt": "a", "ranked": ["b", "c"]},
    }[kind]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(good) + "\n\n" + line + "\n")
    with pytest.raises(ValueError) as error:
        alignment.read_jsonl(path, kind)
    assert str(error.value).startswith(f"{path}:3: ") and word in str(error.value)
    path.write_text(json.dumps(good) + "\n")
    assert alignment.read_jsonl(path, kind) == [good]


def test_rows_in_memory_and_empty_files(tmp_path) -> None:
    with pytest.raises(ValueError, match="row 1: no 'chosen'"):
        alignment.check_rows([PAIRS[0], {"prompt": "a"}], "pair")
    with pytest.raises(ValueError, match="kind"):
        alignment.check_rows([{}], "poem")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="no rows"):
        alignment.read_jsonl(tmp_path / "empty.jsonl", "pair")


def test_only_completions_are_learnt(tokenizer) -> None:
    example = alignment.encode_completion(tokenizer, "the cat", " sat.")
    before, after = tokenizer.encode("the cat"), tokenizer.encode(" sat.")
    assert example.ids == [*before, *after, tokenizer.eos_token_id]
    assert example.labels == [-100] * len(before) + [*after, tokenizer.eos_token_id]
    short = alignment.encode_completion(tokenizer, "the cat", " sat.", max_length=4)
    assert len(short.ids) == 4 and short.labels[0] == -100
    alone = alignment.encode_completion(tokenizer, "", "sat")
    assert alone.ids[0] == tokenizer.bos_token_id and alone.labels[0] == -100


def test_packing_keeps_every_token_and_the_loss(tokenizer, model) -> None:
    examples = [alignment.encode_text(tokenizer, text) for text in TEXTS[:6]]
    rows = alignment.pack_examples(examples, 24)
    assert all(sum(len(e.ids) for e in row) <= 24 for row in rows) and len(rows) < 6
    assert sorted(e.ids for row in rows for e in row) == sorted(e.ids for e in examples)
    losses = []
    for batch in (alignment.join_packed(rows, 0), alignment.pad_examples(examples, 0)):
        with mg.no_grad():
            logits = model(batch.input_ids, attention_mask=batch.attention_mask)
            logps, mask = alignment.token_logps(logits, batch.labels)
        losses.append((logps.sum().item(), mask.sum().item()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    with pytest.raises(ValueError, match="rows of 3"):
        alignment.pack_examples(examples, 3)


# ---------------------------------------------------------------------------- loops
def test_sft_learns_and_packing_trains_as_well(tokenizer, model) -> None:
    rows = [{"text": text} for text in TEXTS]
    packed = copy.deepcopy(model)
    before = alignment.evaluate_sft(model, tokenizer, rows)["loss"]
    alignment.train_sft(
        model, tokenizer, rows, alignment.SFTConfig(**options(steps=80, batch_size=8, lr=5e-3))
    )
    after = alignment.evaluate_sft(model, tokenizer, rows)
    assert after["loss"] < before / 4 and after["accuracy"] > 0.7
    run = alignment.train_sft(
        packed, tokenizer, rows,
        alignment.SFTConfig(**options(steps=40, packing=True, max_length=64, lr=5e-3)),
    )  # fmt: skip
    assert run.history[-1]["loss"] < before / 2


def trainers(tokenizer):
    labels = [
        {"prompt": p["prompt"], "completion": p[key], "label": key == "chosen"}
        for p in PAIRS
        for key in ("chosen", "rejected")
    ]
    texts = [{"prompt": t[:4], "completion": t[4:]} for t in TEXTS]
    a = alignment
    return {
        "sft": lambda m, **o: a.train_sft(m, tokenizer, texts, a.SFTConfig(**options(**o))),
        "dpo": lambda m, **o: a.train_dpo(m, tokenizer, PAIRS, a.DPOConfig(**options(**o))),
        "tr-dpo": lambda m, **o: a.train_dpo(
            m, tokenizer, PAIRS, a.DPOConfig(**options(reference="sync", sync_every=2, **o))
        ),
        "kto": lambda m, **o: a.train_kto(m, tokenizer, labels, a.KTOConfig(**options(**o))),
        "grpo": lambda m, **o: a.train_grpo(
            m, tokenizer, PROMPTS, letters,
            a.GRPOConfig(**options(batch_size=8, group_size=4, max_new_tokens=6, beta=0.05, **o)),
        ),
        "ppo": lambda m, **o: a.train_ppo(
            m, models.GPT2ForSequenceClassification(m.config), tokenizer, PROMPTS, full_stop,
            a.PPOConfig(**options(max_new_tokens=6, **o)),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["sft", "dpo", "grpo"])
def test_accumulation_changes_nothing(tokenizer, model, name) -> None:
    model.double()  # in float32 Adam makes steps of the rounding of gradients that are almost zero
    train, other = trainers(tokenizer)[name], copy.deepcopy(model)
    mg.manual_seed(5)
    train(model)
    mg.manual_seed(5)
    train(other, accumulation=3)
    assert distance(model, other) < 1e-8


@pytest.mark.parametrize("name", ["sft", "dpo", "tr-dpo", "kto", "grpo", "ppo"])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    tmp_path, monkeypatch, tokenizer, model, name
) -> None:
    train = trainers(tokenizer)[name]
    first, second = copy.deepcopy(model), copy.deepcopy(model)
    mg.manual_seed(7)
    whole = train(first, steps=5, out=str(tmp_path / "whole"), save_every=2)
    mg.manual_seed(7)
    advance = alignment.training.Training.advance

    def dies(self, **metrics):
        advance(self, **metrics)
        if self.step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(alignment.training.Training, "advance", dies)
        with pytest.raises(KeyboardInterrupt):
            train(second, steps=5, out=str(tmp_path / "cut"), save_every=2)
    again = copy.deepcopy(model)
    mg.manual_seed(7)  # the same first values of the value model; then the checkpoint's state
    run = train(again, steps=5, out=str(tmp_path / "cut"), save_every=2)
    assert distance(first, again) == 0
    a, b = (
        [json.loads(x) for x in (tmp_path / d / METRICS).read_text().splitlines()]
        for d in ("whole", "cut")
    )
    drop = lambda lines: [{k: v for k, v in x.items() if k != "seconds"} for x in lines]  # noqa: E731
    assert drop(a) == drop(b) and len(run.history) == len(whole.history) == 5
    alignment.plot_metrics(tmp_path / "cut" / METRICS, tmp_path / "plot.png") if _viz() else None


def _viz() -> bool:
    import importlib.util

    return importlib.util.find_spec("matplotlib") is not None


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path, tokenizer, model) -> None:
    train = trainers(tokenizer)["dpo"]
    train(model, out=str(tmp_path))
    with pytest.raises(ValueError, match=r"beta=0\.1, not 0\.2"):
        train(model, out=str(tmp_path), beta=0.2)
    assert (tmp_path / CHECKPOINT).is_file()
    assert len(train(model, out=str(tmp_path), beta=0.2, resume=False).history) == 3


def test_errors_of_configurations(tokenizer, model) -> None:
    for make, changes, word in [
        (alignment.TrainConfig, {"steps": 0}, "steps"),
        (alignment.TrainConfig, {"batch_size": 2, "accumulation": 4}, "accumulation"),
        (alignment.TrainConfig, {"schedule": "step"}, "schedule"),
        (alignment.DPOConfig, {"reference": "none"}, "reference"),
        (alignment.DPOConfig, {"loss_type": "sigmoidal"}, "orpo"),
        (alignment.DPOConfig, {"loss_type": {"sigmoid": 1.0, "orpo": 1.0}}, "loss_type"),
        (alignment.KTOConfig, {"loss_type": "dpo"}, "loss_type"),
        (alignment.PPOConfig, {"minibatches": 3}, "minibatches"),
        (alignment.GRPOConfig, {"group_size": 3}, "group_size"),
        (alignment.GRPOConfig, {"loss_type": "ppo"}, "loss_type"),
        (alignment.GRPOConfig, {"scale": "all"}, "scale"),
    ]:
        with pytest.raises(ValueError, match=word):
            make(**changes)
    with pytest.raises(ValueError, match="LoRA"):
        trainers(tokenizer)["dpo"](model, reference="adapter")
    with pytest.raises(ValueError, match="gradient"):
        trainers(tokenizer)["sft"](model.requires_grad_(False))


def test_a_gradient_that_is_not_finite_stops_the_run(tokenizer, model) -> None:
    with mg.no_grad():
        model.transformer.h[0].mlp.c_fc.weight[0, 0] = math.nan
    before = model.transformer.wte.weight.detach().clone()
    with pytest.raises(FloatingPointError, match="nan"):
        trainers(tokenizer)["sft"](model)
    assert (model.transformer.wte.weight == before).all()


# ---------------------------------------------------------------------------- DPO
def test_dpo_starts_at_ln2_and_learns(tokenizer, model) -> None:
    start = copy.deepcopy(model)
    run = trainers(tokenizer)["dpo"](model, steps=12, beta=0.5)
    assert run.history[0]["loss"] == pytest.approx(math.log(2), rel=1e-5)
    found = alignment.evaluate_dpo(model, tokenizer, PAIRS, start, beta=0.5)
    assert found["accuracy"] == 1 and found["margin"] > 0.5
    assert alignment.evaluate_dpo(start, tokenizer, PAIRS, start)["margin"] == 0


@pytest.mark.parametrize("reference", ["precomputed", "adapter"])
def test_references_agree(tokenizer, model, reference) -> None:
    models.add_lora(model, rank=2)
    other = copy.deepcopy(model)
    train = trainers(tokenizer)["dpo"]
    a, b = train(model, reference="frozen"), train(other, reference=reference)
    for x, y in zip(a.history, b.history, strict=True):
        assert x["loss"] == pytest.approx(y["loss"], rel=1e-4)
    assert distance(model, other) < 1e-4


def test_a_synchronised_reference_follows(tokenizer, model) -> None:
    settings = alignment.DPOConfig(**options(reference="sync", sync_every=2, sync_mix=0.6))
    reference = Reference(model, settings)
    start = copy.deepcopy(model)
    with mg.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    reference.synchronise(0)
    assert distance(reference.copy, start) == 0
    reference.synchronise(1)
    assert distance(reference.copy, start) == pytest.approx(0.6, rel=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss_type": "orpo"},
        {"loss_type": "simpo", "beta": 2.0},
        {"loss_type": "cpo"},
        {"loss_type": "alpha_po", "beta": 2.0},
        {"loss_type": {"sigmoid": 0.8, "bco_pair": 0.2, "sft": 1.0}},
        {"loss_type": "ipo", "wpo": True, "ld_alpha": 0.5},
        {"loss_type": "aot", "f_divergence": "reverse_kl", "nll_weight": 0.1},
        {
            "loss_type": "sigmoid",
            "f_divergence": "js_divergence",
            "reference": "sync",
            "sync_every": 2,
        },
    ],
    ids=str,
)
def test_other_preference_losses_learn_as_well(tokenizer, model, changes) -> None:
    reference = copy.deepcopy(model)
    trainers(tokenizer)["dpo"](model, steps=15, lr=3e-3, **changes)
    free = changes["loss_type"] in ("orpo", "simpo", "cpo", "alpha_po")
    found = alignment.evaluate_dpo(model, tokenizer, PAIRS, None if free else reference)
    assert found["accuracy"] == 1


def test_pair_logps_are_those_of_each_answer_alone(tokenizer, model) -> None:
    row = PAIRS[0]
    encoded = [
        tuple(
            alignment.encode_completion(tokenizer, row["prompt"], row[k])
            for k in ("chosen", "rejected")
        )
    ]
    with mg.no_grad():
        pairs = alignment.pair_logps(model, pair_batch(encoded, 0))
        for example, found in zip(encoded[0], pairs, strict=False):
            ids = mg.tensor([example.ids])
            logp = model(ids).log_softmax(-1)[0]
            start = example.labels.count(-100)
            expected = sum(
                logp[t - 1, example.ids[t]].item() for t in range(start, len(example.ids))
            )
            assert found.item() == pytest.approx(expected, rel=1e-5)


def test_kto_separates_good_from_bad(tokenizer, model) -> None:
    reference = copy.deepcopy(model)
    run = trainers(tokenizer)["kto"](model, steps=15, lr=3e-3)
    assert run.history[0]["loss"] == pytest.approx(0.5, abs=1e-6)
    assert alignment.evaluate_dpo(model, tokenizer, PAIRS, reference)["accuracy"] == 1
    with pytest.raises(ValueError, match="two at least"):
        trainers(tokenizer)["kto"](model, batch_size=1)


# ---------------------------------------------------------------------------- rewards, policies
def test_reward_models(tokenizer, critic) -> None:
    other = copy.deepcopy(critic)
    settings = alignment.RewardConfig(**options(steps=25, lr=3e-3, center_coefficient=0.01))
    rows = [{**row, "margin": 0.1} for row in PAIRS]
    alignment.train_reward(critic, tokenizer, rows, settings)
    assert alignment.evaluate_reward(critic, tokenizer, PAIRS)["accuracy"] == 1
    ranked = [
        {"prompt": "the", "ranked": [" cat.", " cat sat", " dog ran far away"]},
        {"prompt": "we", "ranked": [" go.", " go home"]},
    ]
    run = alignment.train_reward(other, tokenizer, ranked, settings)
    assert run.history[-1]["loss"] < run.history[0]["loss"] / 2
    reward = alignment.reward_function(other, tokenizer)
    a, b, c = reward(["the"] * 3, ranked[0]["ranked"])
    assert a > b > c


def test_rollouts_are_scored_as_if_alone(tokenizer, model) -> None:
    with mg.no_grad():
        for p in model.parameters():
            p.mul_(6.0 if p.dim() == 2 else 1.0)
    asked = [row["prompt"] for row in PROMPTS]
    rollout = alignment.sample_answers(model, tokenizer, asked, 8, temperature=1.3)
    model.eval()
    with mg.no_grad():
        logps, logits = alignment.answer_logps(model, rollout, temperature=1.3)
        assert logits.shape[:2] == logps.shape == rollout.mask.shape
        for i, prompt in enumerate(asked):
            before = tokenizer.encode(prompt)
            n = int(rollout.mask[i].sum().item())
            answer = rollout.input_ids[i, -rollout.length :].tolist()[:n]
            alone = (model(mg.tensor([before + answer])) / 1.3).log_softmax(-1)[0]
            for t, token in enumerate(answer):
                expected = alone[len(before) + t - 1, token].item()
                assert logps[i, t].item() == pytest.approx(expected, rel=2e-4, abs=2e-4)
    two = rollout.rows([2, 0])
    assert two.answers == [rollout.answers[2], rollout.answers[0]]


def prepared(tokenizer, model):
    """A model that has read the texts: half of them end in a full stop."""
    rows = [{"text": text} for text in TEXTS]
    alignment.train_sft(
        model, tokenizer, rows, alignment.SFTConfig(**options(steps=40, batch_size=8, lr=5e-3))
    )
    return model


def test_ppo_raises_the_reward_and_reports_the_kl(tokenizer, model, critic) -> None:
    reference = copy.deepcopy(prepared(tokenizer, model))
    settings = alignment.PPOConfig(
        **options(steps=15, batch_size=16, lr=1e-3, max_new_tokens=10, kl_coef=0.02),
        kl_target=2.0, kl_horizon=200, missing_end_penalty=0.5,
    )  # fmt: skip
    run = alignment.train_ppo(model, critic, tokenizer, PROMPTS, full_stop, settings)
    asked = ["the", "a dog", "we go"] * 20
    after = alignment.measure_policy(model, reference, tokenizer, asked, full_stop, 10)
    before = alignment.measure_policy(reference, reference, tokenizer, asked, full_stop, 10)
    assert after["reward"] > before["reward"] + 0.2
    assert after["kl"] > 0 and before["kl"] == 0
    assert run.history[0]["kl"] == pytest.approx(0, abs=1e-4)
    assert run.state["kl_coef"] != 0.02


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss_type": "grpo", "level": "sequence", "epochs": 2},
        {"loss_type": "dr_grpo", "scale": "none", "beta": 0.01},
        {"loss_type": "cispo", "epsilon_high": 3.0},
        {"loss_type": "rloo", "beta": 0.01},
    ],
    ids=str,
)
def test_groups_raise_the_reward(tokenizer, model, changes) -> None:
    reference = copy.deepcopy(prepared(tokenizer, model))
    settings = alignment.GRPOConfig(
        **options(steps=25, batch_size=24, lr=1e-3), max_new_tokens=10, **changes
    )
    alignment.train_grpo(model, tokenizer, PROMPTS, full_stop, settings)
    asked = ["the", "a dog", "we go"] * 20
    after = alignment.measure_policy(model, reference, tokenizer, asked, full_stop, 10)
    before = alignment.measure_policy(reference, reference, tokenizer, asked, full_stop, 10)
    assert after["reward"] > before["reward"] + 0.2


# ---------------------------------------------------------------------------- command line
def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_command_line_from_text_to_an_aligned_model(tmp_path, capsys) -> None:
    texts = write_jsonl(tmp_path / "texts.jsonl", [{"text": t} for t in TEXTS])
    pairs = write_jsonl(tmp_path / "pairs.jsonl", PAIRS)
    prompts = write_jsonl(tmp_path / "prompts.jsonl", PROMPTS)
    sft, rm, dpo, ppo, grpo = (str(tmp_path / d) for d in ("sft", "rm", "dpo", "ppo", "grpo"))
    few = ["--steps", "2", "--batch-size", "4", "--progress", "false", "--max-length", "48"]
    short = ["--max-new-tokens", "5"]
    for command in (
        ["sft", "--new", "1,16,2", "--vocab-size", "280", "--data", texts, "--out", sft,
         "--eval-data", texts],
        ["reward", "--model", sft, "--data", pairs, "--out", rm, "--eval-data", pairs],
        ["dpo", "--model", sft, "--data", pairs, "--out", dpo, "--eval-data", pairs,
         "--lora-rank", "2", "--reference", "adapter", "--loss-type", '{"sigmoid": 1, "sft": 0.1}'],
        ["ppo", "--model", sft, "--reward-model", rm, "--data", prompts, "--out", ppo, *short],
        ["grpo", "--model", sft, "--reward-function", "tests.test_alignment_training:full_stop",
         "--data", prompts, "--out", grpo, "--group-size", "2", *short],
    ):  # fmt: skip
        assert cli.main([*command, *few]) == 0, capsys.readouterr().err
        out = tmp_path / command[command.index("--out") + 1]
        assert (out / "model.safetensors").is_file() and (out / "tokenizer.json").is_file()
        assert len((out / METRICS).read_text().splitlines()) == 2
    said = capsys.readouterr().out
    assert said.count("held out") == 3
    assert cli.main(["generate", "--model", dpo, "--prompt", "the", *short, "--top-p", "0.9"]) == 0
    assert capsys.readouterr().out.startswith("the")
    for options in (["--num-beams", "2", "--stop", "."], ["--temperature", "0"], ["--prompt", ""]):
        assert cli.main(["generate", "--model", ppo, "--prompt", "the", *short, *options]) == 0
    for command, word in (
        (["generate", "--model", rm, "--prompt", "the"], "does not write"),
        (["ppo", "--model", sft, "--reward-model", sft, "--data", prompts, "--out", ppo + "2"],
         "gives no rewards"),
        (["dpo", "--model", sft, "--data", pairs, "--out", dpo + "2", "--beta", "0"], "beta"),
    ):  # fmt: skip
        assert cli.main(command) == 1
        assert word in capsys.readouterr().err
    again = ["dpo", "--model", sft, "--data", pairs, "--out", dpo + "3", *few]
    assert cli.main(again) == 0 and cli.main([*again, "--loss-type", "simpo"]) == 1
    capsys.readouterr()
    assert cli.main(again) == 0
    assert "went on from the checkpoint" in capsys.readouterr().out
    write_jsonl(tmp_path / "pairs.jsonl", PAIRS[1:])
    assert cli.main(again) == 1
    assert "rows" in capsys.readouterr().err


def test_help_says_what_an_option_means(capsys) -> None:
    with pytest.raises(SystemExit):
        cli.main(["ppo", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Steer the coefficient to this KL per answer" in said  # a field of its own
    assert "Tokens of prompt and completion together. (default 512)" in said  # of what all share


def test_the_command_line_says_what_is_wrong(tmp_path, capsys) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", [{"text": "a"}, {"txt": "b"}])
    for command, word in [
        (["sft", "--new", "1,16,2", "--data", rows, "--out", str(tmp_path / "o")], ":2: no 'text'"),
        (["sft", "--new", "big", "--data", rows, "--out", str(tmp_path / "o")], ":2: no 'text'"),
        (["dpo", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "o")], "none"),
        (["generate", "--model", str(tmp_path), "--prompt", "a"], "config.json"),
    ]:
        assert cli.main(command) == 1
        assert word in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        cli.main(["dpo", "--data", rows, "--out", "x", "--bf16", "perhaps"])
    assert stopped.value.code == 2
    assert "true or false" in capsys.readouterr().err


def test_options_of_every_field(tmp_path) -> None:
    parsed = cli.make_parser().parse_args(
        ["sft", "--data", "d", "--out", "o", "--betas", "0.8,0.95", "--max-grad-norm", "2"]
    )
    found = cli.config_of(parsed)
    assert found.betas == (0.8, 0.95) and found.max_grad_norm == 2.0 and found.out == "o"
    assert np.isclose(found.lr, alignment.SFTConfig().lr)


def test_mixed_precision_where_it_is_asked_for(tokenizer, model) -> None:
    train, exact = trainers(tokenizer)["dpo"], copy.deepcopy(model)
    a, b = train(model, bf16=True), train(exact, bf16=False)
    assert all(p.dtype == mg.float32 for p in model.parameters())
    assert a.history[-1]["loss"] == pytest.approx(b.history[-1]["loss"], abs=0.02)
    assert a.history[-1]["loss"] != b.history[-1]["loss"]
