"""Other dtypes and contents; tensors made of tensors. (Tensors made of nothing:
tests/test_creation.py.)
"""

from __future__ import annotations

from . import Case, S, const

CASES = [
    Case(
        "Tensor.type_as",
        lambda r: [S(r(2, 3), const(r(1))), S(r(2, 3), r.int(0, 3, 2), grad=False)],
    ),
    Case("Tensor.float", lambda r: [S(r(2, 3), smooth=False), S(r(), smooth=False)]),
    Case("Tensor.double", lambda r: [S(r(2, 3)), S(r())]),
    Case("Tensor.long", lambda r: [S(r(2, 3), grad=False)]),
    Case("Tensor.bool", lambda r: [S(r(2, 3), grad=False)]),
    Case("Tensor.cpu", lambda r: [S(r(2, 3))]),
    Case("complex", lambda r: [S(r(2, 3), r(2, 3)), S(r(2, 1), r(3))], half=False),
    Case("polar", lambda r: [S(r.pos(2, 3), r(2, 3)), S(r.pos(2, 1), r(3))], half=False),
    Case("zeros_like", lambda r: [S(r(2, 3), grad=False), S(r.int(0, 3, 2))]),
    Case("ones_like", lambda r: [S(r(2, 3), grad=False), S(r.int(0, 3, 2))]),
    Case("full_like", lambda r: [S(r(2, 3), 2.5, grad=False), S(r.int(0, 3, 2), 7)]),
    Case("empty_like", lambda r: [S(r(2, 3), grad=False)], random=True),
    Case("rand_like", lambda r: [S(r(2, 3), grad=False)], random=True),
    Case("randn_like", lambda r: [S(r(2, 3), grad=False)], random=True),
    Case(
        "randint_like",
        lambda r: [S(r(2, 3), 5, grad=False), S(r(2), 2, 5, grad=False)],
        random=True,
    ),
    Case("bernoulli", lambda r: [S(r(2, 3, low=0.0, high=1.0))], random=True),
    Case("multinomial", lambda r: [S(r.pos(4), 2), S(r.pos(3, 4), 6, True)], random=True),
    Case(
        "normal", lambda r: [S(r(2, 1), r.pos(3)), S(r(2, 3), 0.5), S(0.0, r.pos(3))], random=True
    ),
    Case("poisson", lambda r: [S(r.pos(2, 3))], random=True),
    Case("is_nonzero", lambda r: [S(r())], grad=False),
    Case("numel", lambda r: [S(r(2, 3)), S(r()), S(r(0, 2))], grad=False),
    Case("is_complex", lambda r: [S(r(2)), S(r.int(0, 3, 2))], grad=False),
    Case("is_floating_point", lambda r: [S(r(2)), S(r.int(0, 3, 2))], grad=False),
    Case("is_inference", lambda r: [S(r(2))], grad=False),
    Case("is_same_size", lambda r: [S(r(2, 3), r(2, 3)), S(r(2, 3), r(3, 2))], grad=False),
    Case("binomial", lambda r: [S(const(r.pos(2, 3)), const(r.pos(2, 3)))], random=True),
]
