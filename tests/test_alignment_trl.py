"""The alignment losses against TRL's own code, in float64: values and gradients to 1e-10.

Runs where TRL 1.16 and its companions are installed. TRL's trainers are not built: their loss
methods are called on an object that has what they read, with a model that answers given numbers.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import alignment

torch = pytest.importorskip("torch")
# importing TRL and its companions warns of things that are theirs
pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

B, T = 6, 9


@pytest.fixture(scope="module", autouse=True)
def trl() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("trl")


def both(array: np.ndarray) -> tuple[mg.Tensor, Any]:
    """The same leaf in both libraries."""
    return mg.from_numpy(array.copy()).requires_grad_(), torch.tensor(array, requires_grad=True)


def agree(
    ours: mg.Tensor,
    theirs: Any,
    *leaves: tuple[mg.Tensor, Any],
    tol: float = 1e-10,
    mask: np.ndarray | float = 1.0,
) -> None:
    """Equal values, and after backward equal gradients where the mask is 1."""
    np.testing.assert_allclose(ours.item(), theirs.item(), rtol=tol, atol=tol)
    ours.backward()
    theirs.backward()
    for mine, other in leaves:
        np.testing.assert_allclose(
            mine.grad.numpy() * mask, other.grad.numpy() * mask, rtol=tol, atol=tol
        )


def accelerator() -> Any:
    same = lambda x, **_: x  # noqa: E731
    return SimpleNamespace(
        device="cpu", gather=same, gather_for_metrics=same, reduce=same, unwrap_model=same,
        num_processes=1,
    )  # fmt: skip


def metrics() -> dict[str, Any]:
    from collections import defaultdict

    return {"train": defaultdict(list), "eval": defaultdict(list)}


# ---------------------------------------------------------------------------- DPO
def pairs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token log-probabilities of policy and reference, (2B, T), and the completions' mask."""
    lengths = rng.integers(2, T + 1, 2 * B)
    mask = (np.arange(T) < lengths[:, None]).astype(np.float64)
    policy = -rng.exponential(1.5, (2 * B, T)) * mask  # a model gives 0 to what is no completion
    return policy, policy * rng.uniform(0.7, 1.4, (2 * B, T)), mask


def float64_tensor(data: Any, **options: Any) -> Any:
    """torch.tensor, but not in float32: TRL's label smoothing is made with it."""
    return torch.as_tensor(data, **{"dtype": torch.float64, **options})


def trl_dpo(policy: Any, reference: np.ndarray, mask: np.ndarray, **options: Any) -> Any:
    """DPOTrainer._compute_loss, unchanged."""
    from trl.trainer.dpo_trainer import DPOTrainer

    spread = options.pop("spread", None)

    shift = np.concatenate([np.zeros((2 * B, 1)), mask], 1)  # the first token is the prompt's

    class Model:
        training = True

        def __init__(self, logps: Any):
            self.logps = logps

        def __call__(self, **_: Any) -> Any:
            zeros = torch.zeros(2 * B, T, dtype=torch.float64)
            return SimpleNamespace(
                log_probs=self.logps, entropy=zeros, mean_logits=zeros, log_sum_sq_probs=spread,
                is_top1=zeros.bool(),
            )  # fmt: skip

    model = Model(policy)
    trainer = SimpleNamespace(
        model=model,
        ref_model=Model(torch.tensor(reference)),
        accelerator=accelerator(),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=False,
        f_divergence_type="reverse_kl",
        f_alpha_divergence_coef=0.5,
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        beta=0.1,
        label_smoothing=0.0,
        use_weighting=False,
        args=SimpleNamespace(
            discopop_tau=0.05, gradient_checkpointing=False, gradient_checkpointing_kwargs=None
        ),
        _metrics=metrics(),
        _total_train_tokens=0,
        _tp_size=1,
    )
    vars(trainer).update(options)
    import trl.trainer.dpo_trainer as module

    inputs = {
        "input_ids": torch.zeros(2 * B, T + 1, dtype=torch.int64),
        "attention_mask": torch.ones(2 * B, T + 1, dtype=torch.int64),
        "completion_mask": torch.tensor(shift).long(),
    }
    from contextlib import nullcontext
    from unittest.mock import patch

    with (
        patch.object(torch, "tensor", float64_tensor),
        patch.object(module, "disable_gradient_checkpointing", lambda *_: nullcontext()),
        patch.object(module, "is_peft_model", lambda _: False),
    ):
        return DPOTrainer._compute_loss(trainer, model, inputs, False)


def our_dpo(policy: mg.Tensor, reference: np.ndarray, mask: np.ndarray, **options: Any) -> Any:
    chosen, rejected = (policy * mg.from_numpy(mask)).sum(1).chunk(2)
    ref_chosen, ref_rejected = mg.from_numpy(reference.sum(1)).chunk(2)
    w, v = mg.from_numpy(mask.sum(1)).chunk(2)
    return alignment.dpo_loss(
        chosen, rejected, ref_chosen, ref_rejected, chosen_lengths=w, rejected_lengths=v, **options
    ).mean()


TRL_NAMES = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot",
    "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
)  # fmt: skip


def test_no_name_of_trl_is_missing() -> None:
    import inspect
    import re

    from trl.trainer.dpo_trainer import DPOTrainer
    from trl.trainer.grpo_trainer import GRPOTrainer

    def names(method: Any, field: str) -> set[str]:
        """What the source compares the field with."""
        found = re.findall(rf"{field} (?:==|in) (.*):", inspect.getsource(method))
        return {*re.findall(r'"(\w+)"', " ".join(found))}

    assert names(DPOTrainer._compute_loss, "loss_type") == {*TRL_NAMES}
    divergences = names(DPOTrainer._compute_loss, "f_divergence_type")
    assert divergences == {*alignment.losses.divergence.F_DIVERGENCES}
    assert names(GRPOTrainer._compute_loss, "loss_type") == {*alignment.losses.group.LOSS_TYPES}
    assert names(GRPOTrainer._compute_loss, "importance_sampling_level") == {"token", "sequence"}


@pytest.mark.parametrize("loss_type", TRL_NAMES)
@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_dpo(rng, loss_type, beta) -> None:
    policy, reference, mask = pairs(rng)
    smoothing = 0.1 if loss_type in ("robust", "exo_pair", "aot", "aot_unpaired") else 0.0
    mine, other = both(policy)
    ours = our_dpo(mine, reference, mask, loss_type=loss_type, beta=beta, label_smoothing=smoothing)
    theirs = trl_dpo(
        other, reference, mask, loss_types=[loss_type], beta=beta, label_smoothing=smoothing
    )
    agree(ours, theirs, (mine, other), mask=mask)


@pytest.mark.parametrize(
    "loss_type", ["sigmoid", "hinge", "ipo", "robust", "discopop", "sigmoid_norm", "exo_pair"]
)
@pytest.mark.parametrize("divergence", ["forward_kl", "js_divergence", "alpha_divergence"])
def test_dpo_under_other_divergences(rng, loss_type, divergence) -> None:
    policy, reference, mask = pairs(rng)
    tolerance = 1e-10
    if divergence == "alpha_divergence":  # TRL's knows no float64
        policy, reference = policy.astype(np.float32), reference.astype(np.float32)
        tolerance = 2e-5
    smoothing = 0.1 if loss_type in ("robust", "exo_pair") else 0.0
    mine, other = both(policy)
    options = {"beta": 0.3, "label_smoothing": smoothing}
    ours = our_dpo(mine, reference, mask, loss_type=loss_type, f_divergence=divergence, **options)
    theirs = trl_dpo(
        other, reference, mask, loss_types=[loss_type], f_divergence_type=divergence, **options
    )
    agree(ours, theirs, (mine, other), tol=tolerance, mask=mask)


def test_mixed_dpo_and_ld_dpo(rng) -> None:
    policy, reference, mask = pairs(rng)
    mine, other = both(policy)
    ours = our_dpo(mine, reference, mask, loss_type={"sigmoid": 0.8, "bco_pair": 0.2, "sft": 1.0})
    theirs = trl_dpo(
        other,
        reference,
        mask,
        loss_types=["sigmoid", "bco_pair", "sft"],
        loss_weights=[0.8, 0.2, 1],
    )
    agree(ours, theirs, (mine, other), mask=mask)
    mine, other = both(policy)
    halves = mg.from_numpy(mask).chunk(2)

    def weigh(x: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor]:
        w, v = x.chunk(2)
        return alignment.ld_logps(w, halves[0], v, halves[1], 0.3)

    ours = alignment.dpo_loss(*weigh(mine), *weigh(mg.from_numpy(reference))).mean()
    agree(ours, trl_dpo(other, reference, mask, ld_alpha=0.3), (mine, other), mask=mask)


def test_wpo_weights(rng) -> None:
    logits = rng.normal(0, 2, (2 * B, T + 1, 11))
    labels = rng.integers(0, 11, (2 * B, T + 1))
    _, reference, mask = pairs(rng)
    labels[:, 1:][mask == 0] = labels[:, 0] = -100
    mine, other = both(logits)
    # what the model's fused head would answer: log-probabilities, and log Σ p² of each position
    table = other[:, :-1].log_softmax(-1)
    shifted = torch.tensor(labels[:, 1:]).clamp(min=0)
    logps = table.gather(2, shifted[..., None])[..., 0] * torch.tensor(mask)
    spread = (2 * table).logsumexp(-1).detach()
    theirs = trl_dpo(logps, reference, mask, use_weighting=True, spread=spread)
    pair = alignment.pair_logps(
        lambda *_, **__: mine,
        alignment.data.Batch(None, None, mg.from_numpy(labels)),  # type: ignore[arg-type]
        wpo=True,
    )
    ref_w, ref_v = mg.from_numpy(reference.sum(1)).chunk(2)
    losses = alignment.dpo_loss(pair.chosen, pair.rejected, ref_w, ref_v)
    agree((losses * pair.weights).mean(), theirs, (mine, other))


# ---------------------------------------------------------------------------- reference-free, KTO
@pytest.mark.parametrize("loss_type", ["sigmoid", "hinge", "ipo", "simpo", "alpha"])
def test_cpo_simpo_alpha_po(rng, loss_type) -> None:
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    average = loss_type in ("simpo", "alpha")
    w, v = (both(-rng.exponential(1.0 if average else 20.0, B)) for _ in range(2))
    trainer = SimpleNamespace(
        alpha=0.25 if loss_type == "alpha" else 0.0,
        beta=2.0 if average else 0.1,
        simpo_gamma=0.5,
        label_smoothing=0.0,
        loss_type="simpo" if average else loss_type,
        accelerator=accelerator(),
    )
    theirs = CPOTrainer.cpo_loss(trainer, w[1], v[1])[0].mean()
    if loss_type == "simpo":
        ours = alignment.simpo_loss(w[0], v[0])
    elif loss_type == "alpha":
        ours = alignment.alpha_po_loss(w[0], v[0], alpha=0.25)
    else:
        ours = alignment.cpo_loss(w[0], v[0], loss_type=loss_type)
    agree(ours.mean(), theirs, w, v)


def test_orpo(rng) -> None:
    """TRL computes this one in float32; its formula is run in float64 too."""
    from unittest.mock import patch

    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    w, v = (both(-rng.exponential(1.0, B) - 1e-3) for _ in range(2))
    trainer = SimpleNamespace(beta=0.1, accelerator=accelerator())
    with patch.object(torch.Tensor, "float", lambda x: x):
        theirs = -ORPOTrainer.odds_ratio_loss(trainer, w[1], v[1])[0].mean()
    agree(alignment.orpo_loss(w[0], v[0]).mean(), theirs, w, v)


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_kto(rng, loss_type) -> None:
    """The lines of KTOTrainer._compute_loss that make losses, as they stand."""
    import inspect
    import textwrap

    from trl.trainer.kto_trainer import KTOTrainer

    source = inspect.getsource(KTOTrainer._compute_loss)
    start = source.index("        if self.calculate_KL:\n            kl = (KL_logps")
    end = source.index('        self._metrics[mode]["kl"]')
    logps, labels = both(-rng.exponential(20.0, B)), np.array([1, 0, 1, 1, 0, 0], bool)
    reference, far, ref_far = (-rng.exponential(20.0, B) for _ in range(3))
    space = {
        "self": SimpleNamespace(
            calculate_KL=loss_type == "kto", loss_type=loss_type, beta=0.1, desirable_weight=1.2,
            undesirable_weight=0.7, accelerator=accelerator(),
        ),
        "torch": torch, "F": torch.nn.functional,
        "KL_logps": torch.tensor(far), "ref_KL_logps": torch.tensor(ref_far),
        "chosen_logps": logps[1][labels], "rejected_logps": logps[1][~labels],
        "ref_chosen_logps": torch.tensor(reference[labels]),
        "ref_rejected_logps": torch.tensor(reference[~labels]),
    }  # fmt: skip
    exec(textwrap.dedent(source[start:end]), space)
    z = alignment.kto_reference_point(mg.from_numpy(far), mg.from_numpy(ref_far))
    options = {"beta": 0.1, "desirable_weight": 1.2, "undesirable_weight": 0.7}
    good = mg.from_numpy(labels)
    ref = mg.from_numpy(reference)
    if loss_type == "kto":
        ours = alignment.kto_loss(logps[0], ref, good, z, **options)
    else:
        ours = alignment.apo_zero_unpaired_loss(logps[0], ref, good, **options)
    agree(ours.mean(), space["losses"].mean(), logps)


@pytest.mark.parametrize("margin, center", [(False, None), (True, None), (True, 0.01)])
def test_reward_model(rng, margin, center) -> None:
    from trl.trainer.reward_trainer import RewardTrainer

    rewards = both(rng.normal(size=(2 * B, 1)))
    margins = rng.uniform(0, 1, B)
    inputs = {"input_ids": torch.zeros(2 * B, 3), "attention_mask": torch.ones(2 * B, 3)}
    if margin:
        inputs["margin"] = torch.tensor(margins)

    class Model:
        training = True

        def __call__(self, **_: Any) -> Any:
            return SimpleNamespace(logits=rewards[1])

    trainer = SimpleNamespace(
        model=Model(), accelerator=accelerator(), aux_loss_enabled=False, _metrics=metrics(),
        args=SimpleNamespace(center_rewards_coefficient=center),
        _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    theirs = RewardTrainer.compute_loss(trainer, Model(), inputs)
    w, v = rewards[0].squeeze(1).chunk(2)
    ours = alignment.bradley_terry_loss(
        w, v, mg.from_numpy(margins) if margin else 0.0, center or 0
    )
    agree(ours.mean(), theirs, rewards)


# ---------------------------------------------------------------------------- policies
def rollouts(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    mask = (np.arange(T) < rng.integers(1, T + 1, B)[:, None]).astype(np.float64)
    logps = -rng.exponential(1.0, (B, T))
    return logps, logps + rng.normal(0, 0.4, (B, T)), logps + rng.normal(0, 0.4, (B, T)), mask


def trl_grpo(logps: Any, old: Any, ref: Any, mask: Any, advantages: Any, **options: Any) -> Any:
    from trl.trainer.grpo_trainer import GRPOTrainer

    args = SimpleNamespace(
        delta=options.pop("delta", None), use_bias_correction_kl=False,
        sapo_temperature_pos=1.0, sapo_temperature_neg=1.05, steps_per_generation=1,
        vespo_k_pos=2.0, vespo_lambda_pos=3.0, vespo_k_neg=3.0, vespo_lambda_neg=2.0,
    )  # fmt: skip
    zeros = torch.zeros(B, T, dtype=torch.float64)
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (logps, zeros, None),
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None,
        importance_sampling_level="token", beta=0.0, args=args, epsilon_low=0.2, epsilon_high=0.2,
        loss_type="dapo", use_vllm=False, vllm_importance_sampling_correction=False,
        model=SimpleNamespace(training=True), current_gradient_accumulation_steps=1,
        max_completion_length=T, accelerator=accelerator(), _entropy_bonus_enabled=False,
        _metrics=metrics(), get_gamma_weights=GRPOTrainer.get_gamma_weights,
    )  # fmt: skip
    vars(trainer).update(options)
    inputs = {
        "prompt_ids": torch.zeros(B, 1), "prompt_mask": torch.ones(B, 1),
        "completion_ids": torch.zeros(B, T), "completion_mask": torch.tensor(mask),
        "advantages": torch.tensor(advantages), "old_per_token_logps": torch.tensor(old),
        "ref_per_token_logps": torch.tensor(ref),
        "num_items_in_batch": torch.tensor(mask.sum()),
    }  # fmt: skip
    return GRPOTrainer._compute_loss(trainer, trainer.model, inputs)


@pytest.mark.parametrize("loss_type", alignment.losses.group.LOSS_TYPES)
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("beta, high, delta", [(0.0, 0.28, None), (0.04, 0.2, 1.5)])
def test_grpo(rng, loss_type, level, beta, high, delta) -> None:
    if loss_type == "cispo":
        high = 1 + high
    logps, old, ref, mask = rollouts(rng)
    advantages = rng.normal(size=B)
    mine, other = both(logps)
    theirs = trl_grpo(
        other, old, ref, mask, advantages, loss_type=loss_type, importance_sampling_level=level,
        beta=beta, epsilon_high=high, delta=delta,
    )  # fmt: skip
    as_mine = [mg.from_numpy(x) for x in (old, advantages, mask)]
    ours = alignment.grpo_loss(
        mine, *as_mine, loss_type, level=level, epsilon_high=high, delta=delta, beta=beta,
        ref_logps=mg.from_numpy(ref), max_length=T,
    )  # fmt: skip
    agree(ours, theirs, (mine, other))


def test_rloo(rng) -> None:
    from trl.trainer.rloo_trainer import RLOOTrainer

    logps, old, _, mask = rollouts(rng)
    old = logps + 0.3 * (old - logps)
    advantages = rng.normal(size=B)
    mine, other = both(logps)
    zeros = torch.zeros(B, T, dtype=torch.float64)
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (other, zeros, None),
        aux_loss_enabled=False, epsilon_low=0.2, epsilon_high=0.2, accelerator=accelerator(),
        model=SimpleNamespace(training=True), _metrics=metrics(),
    )  # fmt: skip
    inputs = {
        "prompt_ids": torch.zeros(B, 1), "prompt_mask": torch.ones(B, 1),
        "completion_ids": torch.zeros(B, T), "completion_mask": torch.tensor(mask),
        "advantages": torch.tensor(advantages), "old_logps": torch.tensor((old * mask).sum(1)),
    }  # fmt: skip
    theirs = RLOOTrainer._compute_loss(trainer, trainer.model, inputs)
    ours = alignment.rloo_loss(
        (mine * mg.from_numpy(mask)).sum(1), mg.from_numpy((old * mask).sum(1)),
        mg.from_numpy(advantages),
    )  # fmt: skip
    agree(ours, theirs, (mine, other))
