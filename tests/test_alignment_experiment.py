"""The experiment: its text, its preference, and a run of the smallest size from end to end."""

from __future__ import annotations

import json

import pytest

from minigrad.alignment import experiment


def test_what_an_answer_is_worth() -> None:
    eight = " the name is bound to a new object."
    answers = [eight, eight[:-1], " it may be bound to a new object.", " a."]
    expected = [1.0, 0.0, 1.0 - 0.5, 1.0 - 0.05 * 7]
    assert experiment.preference_reward([""] * 4, answers) == pytest.approx(expected)
    assert experiment.preference_reward([""], ["may " * 30]) == [-2.0]


def test_text_and_windows() -> None:
    text = experiment.sentences()
    assert len(text) > 1000 and all(5 <= len(s.split()) <= 40 for s in text)
    found = experiment.windows(text, 50, seed=1)
    assert found == experiment.windows(text, 50, seed=1) != experiment.windows(text, 50, seed=2)
    whole = {" ".join(s.split()) for s in text}
    assert all(any(a + b in s for s in whole) for a, b in found[:10])


@pytest.mark.slow
def test_the_whole_of_it(tmp_path) -> None:
    pytest.importorskip("tokenizers")
    sizes = experiment.Experiment.small()
    results = experiment.run_experiment(tmp_path, sizes, progress=False)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert results["start"]["kl"] == 0 and results["pairs"]["train"] >= 2
    for name in ("dpo", "ppo"):
        last = results[name][0]["points"][-1]
        assert last["steps"] == getattr(sizes, f"{name}_steps") and last["kl"] > 0
    assert (tmp_path / "dpo-0.1" / "model.safetensors").is_file()
    assert "SFT" in (tmp_path / "samples.txt").read_text()
    assert "DPO" in experiment.report(results)
    made = (tmp_path / "dpo-0.1" / "result.json").stat().st_mtime_ns
    assert experiment.run_experiment(tmp_path, sizes, progress=False) == results
    assert (tmp_path / "dpo-0.1" / "result.json").stat().st_mtime_ns == made
    sizes.seed = 1
    with pytest.raises(ValueError, match="other sizes"):
        experiment.run_experiment(tmp_path, sizes, progress=False)
