"""DPO where everything can be known: five answers, a table as policy, preferences without noise.

    python examples/dpo_by_hand.py

Under max E r − β KL(π‖π_ref) the best policy is π_ref e^(r/β)/Z (Rafailov et al. 2023, eq. 4).
Three ways lead there: the formula, DPO on preferences (which never sees a reward), and PPO on the
reward with its KL penalty. Then the other way round: the reward is read off the policy (eq. 5).
"""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import alignment

BETA = 0.5
ANSWERS = ["yes.", "yes", "well, perhaps", "no", "no!"]
REWARDS: Any = mg.tensor([1.0, 0.6, -0.8, 0.2, -0.3], dtype=mg.float64)
REFERENCE: Any = mg.tensor([0.1, 0.3, 0.3, 0.2, 0.1], dtype=mg.float64).log()


def formula() -> Any:
    """log of π_ref e^(r/β)/Z."""
    return (REFERENCE + REWARDS / BETA).log_softmax(0)


def dpo(steps: int = 400) -> Any:
    """Gradient descent on DPO's loss over all pairs, each as often preferred as Bradley and Terry
    say; the log-probabilities it ends with.
    """
    first, second = (
        mg.tensor(i) for i in zip(*((i, j) for i in range(5) for j in range(i)), strict=True)
    )
    p = (REWARDS[first] - REWARDS[second]).sigmoid()
    logits: Any = REFERENCE.clone().requires_grad_()
    optimizer = mg.optim.SGD([logits], lr=4 / BETA**2 / 5 * 2)
    for _ in range(steps):
        pi = logits.log_softmax(0)
        a, b, ref_a, ref_b = pi[first], pi[second], REFERENCE[first], REFERENCE[second]
        right = alignment.dpo_loss(a, b, ref_a, ref_b, BETA)
        wrong = alignment.dpo_loss(b, a, ref_b, ref_a, BETA)
        loss = (p * right + (1 - p) * wrong).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return logits.detach().log_softmax(0)


def ppo(steps: int = 400) -> Any:
    """PPO whose expectations are sums over the five answers; the log-probabilities it ends with."""
    logits: Any = REFERENCE.clone().requires_grad_()
    optimizer = mg.optim.SGD([logits], lr=2.0)
    for _ in range(steps):
        old = logits.detach().log_softmax(0)
        gain = REWARDS - BETA * (old - REFERENCE)
        advantages = gain - (old.exp() * gain).sum()
        for _ in range(2):
            pi = logits.log_softmax(0)
            # the mask weighs each answer with its probability: a mean over draws, without drawing
            loss = alignment.ppo_policy_loss(pi[None], old[None], advantages[None], old.exp()[None])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return logits.detach().log_softmax(0)


def main() -> dict[str, float]:
    """Print the three policies side by side; how far two of them are from the formula."""
    policies = {"reference": REFERENCE, "formula": formula(), "DPO": dpo(), "PPO": ppo()}
    print(f"{'':15}{'reward':>8}" + "".join(f"{name:>12}" for name in policies))
    for i, answer in enumerate(ANSWERS):
        row = "".join(f"{p[i].exp().item():>12.8f}" for p in policies.values())
        print(f"{answer:15}{REWARDS[i].item():>+8.2f}{row}")
    for name, p in policies.items():
        kl = (p.exp() * (p - REFERENCE)).sum().item()
        print(f"{name:10} reward {(p.exp() * REWARDS).sum().item():+.4f}, KL {kl:.4f}")
    implied = BETA * (policies["DPO"] - REFERENCE)
    gaps = implied - implied[0] - (REWARDS - REWARDS[0])
    print(f"rewards read off DPO's policy, up to a constant: error {gaps.abs().max().item():.1e}")
    gap = {
        name: (policies[name].exp() - policies["formula"].exp()).abs().max().item()
        for name in ("DPO", "PPO")
    }
    print(", ".join(f"{name} differs from the formula by {d:.1e}" for name, d in gap.items()))
    return gap


if __name__ == "__main__":
    main()
