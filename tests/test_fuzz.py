"""Random programs agree with PyTorch: some hundreds here, thousands by `python -m tests.fuzz`."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

import minigrad

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.fuzz import __main__ as fuzz  # noqa: E402  # needs PyTorch and tqdm
from tests.fuzz.compare import compare  # noqa: E402
from tests.fuzz.generate import ALL, generate  # noqa: E402
from tests.fuzz.program import Name, Program, Ref, Statement  # noqa: E402
from tests.fuzz.recipes import Maker  # noqa: E402
from tests.fuzz.shrink import shrink  # noqa: E402

pytestmark = [pytestmark, pytest.mark.filterwarnings("ignore")]  # of PyTorch, about the programs


@pytest.mark.parametrize("part", range(8))
def test_random_programs_agree(part: int) -> None:
    for number in range(40 * part, 40 * (part + 1)):
        found = fuzz.check(2026, number)
        if found is not None:
            program, difference = found
            pytest.fail(f"{difference.kind}: {difference.text}\n{program.source()}", pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_more_random_programs_agree(part: int) -> None:
    assert fuzz.main(["--programs", "500", "--seed", "2027", "--first", str(500 * part)]) == 0


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.__name__)
def test_every_recipe_is_drawn(recipe: Any) -> None:
    """Each makes a statement sooner or later, and one that PyTorch runs."""
    ran = 0
    for seed in range(400):
        maker = Maker(Random(seed), {}, torch)
        for statement in generate(Random(f"{recipe.__name__}/{seed % 20}"), torch).statements:
            try:
                if not statement.missing(maker.env):
                    statement.run(torch, maker.env)
            except Exception:
                continue
        maker.count = 10_000
        made = recipe(maker)
        try:
            for statement in made if isinstance(made, list) else [made] if made else []:
                statement.run(torch, maker.env)
                ran += 1
        except Exception:
            continue
        if ran:
            return
    pytest.fail("never")


def test_what_a_statement_changes() -> None:
    changed = {name: Statement("method", name).changes() for name in ("add_", "add", "__float__")}
    assert changed == {"add_": True, "add": False, "__float__": False}


def _tensor(name: str, data: Any, **options: Any) -> Statement:
    return Statement("function", "tensor", (data,), tuple(options.items()), (name,))


class _Wrong:
    """minigrad with another sine."""

    def __getattr__(self, name: str) -> Any:
        return getattr(minigrad, "cos" if name == "sin" else name)


def test_a_difference_is_found_and_shrunk() -> None:
    program = Program(
        [
            _tensor("v1", [0.5, 1.0], dtype=Name("float64"), requires_grad=True),
            _tensor("v2", [2.0, 3.0], dtype=Name("float64")),
            Statement("function", "exp", (Ref("v2"),), (), ("v3",)),
            Statement("function", "mul", (Ref("v1"), 2), (), ("v4",)),
            Statement("function", "sin", (Ref("v4"),), (), ("v5",)),
        ]
    )
    assert compare(program, torch, minigrad) is None
    difference = compare(program, torch, _Wrong())
    assert difference is not None and difference.kind == "value" and difference.position == 4
    small, _ = shrink(program, torch, _Wrong())
    assert [s.name for s in small.statements] == ["tensor", "sin"]
    assert "T.sin(v4)" in small.source()


def test_what_is_compared() -> None:
    """Shape, dtype, requires_grad, gradients and errors count, not values alone."""
    x = _tensor("v1", [1.0, 2.0], dtype=Name("float32"), requires_grad=True)

    class Library:
        def __init__(self, **changed: Any):
            self.changed = changed

        def __getattr__(self, name: str) -> Any:
            return self.changed.get(name, getattr(minigrad, name))

    def kind(statements: list[Statement], **changed: Any) -> str | None:
        found = compare(Program([x, *statements]), torch, Library(**changed))
        return None if found is None else found.kind

    twice = Statement("function", "mul", (Ref("v1"), 2), (), ("v2",))
    assert kind([twice]) is None
    assert kind([twice], mul=lambda a, b: (a * b).double()) == "dtype"
    assert kind([twice], mul=lambda a, b: (a * b)[None]) == "shape"
    assert kind([twice], mul=lambda a, b: (a * b).detach()) == "requires_grad"
    back = Statement("method", "backward", (Ref("v2"), Ref("g3")))
    seed = _tensor("g3", [1.0, 1.0], dtype=Name("float32"))
    assert kind([twice, seed, back]) is None
    slope = kind([twice, seed, back], mul=lambda a, b: a * (b - 1) + a.detach() * (b - 1))
    assert slope == "gradient"
    wrong = Statement("function", "sum", (Ref("v1"), 5), (), ("v4",))
    assert kind([wrong]) is None
    assert kind([wrong], sum=lambda a, d: a) == "no error"
    assert kind([twice], mul=lambda a, b: [][1]) == "error"
