"""The experiment: its text, its preference, and a run of the smallest size from end to end."""

from __future__ import annotations

import json

import pytest

from minigrad.alignment import corpus, experiment, read_jsonl


def test_what_an_answer_is_worth() -> None:
    eight = " the name is bound to a new object."
    answers = [eight, eight[:-1], " it may be bound to a new object.", " a."]
    expected = [1.0, 0.0, 1.0 - 0.5, 1.0 - 0.05 * 7]
    assert experiment.preference_reward([""] * 4, answers) == pytest.approx(expected)
    assert experiment.preference_reward([""], ["may " * 30]) == [-2.0]


def test_text_and_its_pieces() -> None:
    text = corpus.sentences()
    assert len(text) > 2000 and len(set(text)) == len(text)
    assert all(5 <= len(s.split()) <= 40 for s in text)
    found = corpus.windows(text, 50, seed=1)
    assert found == corpus.windows(text, 50, seed=1) != corpus.windows(text, 50, seed=2)
    whole = {" ".join(s.split()) for s in text}
    assert all(any(a + b in s for s in whole) for a, b in found[:10])
    prompts = corpus.openings(text, seed=1)
    assert len(set(prompts)) == len(prompts) > 1000
    assert all(2 <= len(prompt.split()) <= 4 for prompt in prompts)


@pytest.mark.slow
def test_the_whole_of_it(tmp_path) -> None:
    pytest.importorskip("tokenizers")
    sizes = experiment.Experiment.small()
    results = experiment.run_experiment(tmp_path, sizes, progress=False)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert results["start"]["kl"] == 0 and results["pairs"]["train"] >= 2
    rows = {n: read_jsonl(tmp_path / f"{n}.jsonl", "pair") for n in ("pairs", "held_out")}
    prompts = {n: [row["prompt"] for row in some] for n, some in rows.items()}
    assert not {*prompts["pairs"]} & {*prompts["held_out"]}
    for some in rows.values():
        assert len({row["prompt"] for row in some}) == len(some)
        for row in some:
            better, worse = experiment.preference_reward([], [row["chosen"], row["rejected"]])
            assert better - worse >= sizes.gap
    for name in ("dpo", "ppo"):
        last = results[name][0]["points"][-1]
        assert last["steps"] == getattr(sizes, f"{name}_steps")
        # it moved; the mean of few log-ratios may be below 0
        assert last["kl"] != 0 and last["kl"] > -0.1
    assert (tmp_path / "dpo-0.1" / "model.safetensors").is_file()
    assert "SFT" in (tmp_path / "samples.txt").read_text()
    assert "DPO" in experiment.report(results)
    made = (tmp_path / "dpo-0.1" / "result.json").stat().st_mtime_ns
    assert experiment.run_experiment(tmp_path, sizes, progress=False) == results
    assert (tmp_path / "dpo-0.1" / "result.json").stat().st_mtime_ns == made
    sizes.seed = 1
    with pytest.raises(ValueError, match="other sizes"):
        experiment.run_experiment(tmp_path, sizes, progress=False)
