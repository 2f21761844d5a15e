"""The losses, pure functions of log-probabilities and rewards. Read preference.py first.

logps.py            from logits to log-probabilities of answers
preference.py       DPO and its kin: pairs, with a reference
divergence.py       other divergences in DPO
reference_free.py   ORPO, CPO, SimPO, AlphaPO
unpaired.py         KTO, BCO: single answers with a label
reward.py           reward models
policy.py           PPO, REINFORCE, RLOO
group.py            GRPO and its variants
"""
