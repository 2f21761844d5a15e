"""The switches: environment, defaults, blocks, threads, documentation; and the texts of errors."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from minigrad import config, errors

ROOT = Path(__file__).resolve().parents[1]


# ---------------------------------------------------------------- config
def test_defaults() -> None:
    settings = config.from_environment({})
    assert settings.kernels == "auto" and settings.debug == 0
    assert settings.cache_dir == Path.home() / ".cache" / "minigrad"
    assert config.from_environment({"XDG_CACHE_HOME": "/x"}).cache_dir == Path("/x/minigrad")
    assert config.from_environment({"MINIGRAD_DEBUG": "", "MINIGRAD_KERNELS": ""}).debug == 0


def test_environment() -> None:
    asked = {"MINIGRAD_KERNELS": "off", "MINIGRAD_DEBUG": "2", "MINIGRAD_CACHE_DIR": "~/c"}
    settings = config.from_environment(asked)
    assert settings == ("off", 2, Path.home() / "c", "auto")
    assert [type(value) for value in settings[:2]] == [str, int]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MINIGRAD_KERNELS", "on"),
        ("MINIGRAD_KERNELS", "OFF"),
        ("MINIGRAD_DEBUG", "4"),
        ("MINIGRAD_DEBUG", "-1"),
        ("MINIGRAD_DEBUG", "yes"),
    ],
)
def test_a_bad_environment_is_named(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{variable}: expected .*, but got '{value}'") as caught:
        config.from_environment({variable: value})
    assert "help: " in str(caught.value)


def test_the_environment_is_read_at_import() -> None:
    code = "from minigrad import config; print(config.kernels, config.debug, config.cache_dir)"
    asked = {"MINIGRAD_KERNELS": "off", "MINIGRAD_DEBUG": "1", "MINIGRAD_CACHE_DIR": "somewhere"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | asked,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout.split() == ["off", "1", "somewhere"], run.stderr


def test_using() -> None:
    before = config.SETTINGS.get()
    with config.using(kernels="off", debug=1) as inside:
        assert (config.kernels, config.debug) == ("off", 1) == (inside.kernels, inside.debug)
        with config.using(debug="3"):
            assert (config.kernels, config.debug) == ("off", 3)
        assert config.debug == 1
    assert config.SETTINGS.get() == before
    with pytest.raises(KeyError), config.using(debug=2):
        raise KeyError
    assert config.SETTINGS.get() == before


def test_using_is_a_decorator_that_may_recurse() -> None:
    before = config.SETTINGS.get()

    @config.using(debug=2)
    def levels(depth: int) -> list[int]:
        """What it is."""
        with config.using(debug=3):
            deeper = levels(depth - 1) if depth else []
        return [config.debug, *deeper]

    assert levels(2) == [2, 2, 2]
    assert levels.__doc__ == "What it is." and config.SETTINGS.get() == before


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"kernel": "off"}, TypeError),
        ({"kernels": "no"}, ValueError),
        ({"kernels": None}, ValueError),
        ({"debug": 7}, ValueError),
        ({"debug": 1.0}, ValueError),
        ({"debug": [1]}, ValueError),
        ({"cache_dir": 3}, ValueError),
        ({"debug": 1, "kernels": "no"}, ValueError),
    ],
)
def test_bad_settings_change_nothing(values: dict[str, Any], error: type[Exception]) -> None:
    before = config.SETTINGS.get()
    with pytest.raises(error, match=next(name for name in reversed(values))):
        config.using(**values)
    assert config.SETTINGS.get() == before


def test_settings_are_per_thread() -> None:
    inside, leave = threading.Event(), threading.Event()
    seen = []

    @config.using(debug=3)
    def work() -> None:
        inside.set()
        leave.wait(10)
        seen.append(config.debug)

    thread = threading.Thread(target=work)
    with config.using(debug=1):
        thread.start()
        inside.wait(10)
        assert config.debug == 1
        leave.set()
        thread.join()
        assert config.debug == 1
    assert seen == [3]


def test_unknown_switch() -> None:
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = config.colour  # type: ignore[attr-defined]


def test_every_switch_is_declared_once() -> None:
    names = [switch.name for switch in config.SWITCHES]
    assert tuple(names) == config.Settings._fields and len(set(names)) == len(names)
    assert all(switch.doc.endswith(".") for switch in config.SWITCHES)


def test_the_documentation_lists_every_switch() -> None:
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert page == config.markdown(), "write config.markdown() to docs/config.md"
    for switch in config.SWITCHES:
        assert f"`{switch.variable}`" in page and f"`{switch.name}`" in page


def test_no_switch_outside_of_config() -> None:
    """A MINIGRAD_ variable that another file reads would be one nobody can look up."""
    known = {switch.variable for switch in config.SWITCHES}
    for path in sorted((ROOT / "minigrad").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for word in text.replace('"', " ").replace("'", " ").replace("`", " ").split():
            name = word.partition("=")[0]
            if name.startswith("MINIGRAD_") and name.replace("_", "").isalnum():
                assert name in known or path.name == "config.py", f"{path.name}: {name}"


# ---------------------------------------------------------------- errors
def test_message() -> None:
    text = errors.message(
        "matmul",
        "inner dimensions differ",
        argument="b",
        expected="(784, n)",
        actual=(512, 10),
        help="did you mean b.T?",
    )
    assert (
        text
        == "matmul: inner dimensions differ: argument 'b': expected (784, n), but got (512, 10)\n"
        "  help: did you mean b.T?"
    )
    assert errors.message("sum", "no axes") == "sum: no axes"
    assert errors.message("sum", actual=None) == "sum: got None"
    assert errors.message("sum", expected="an int") == "sum: expected an int"


def test_types_of_errors() -> None:
    error: Exception = errors.type_error("relu", "input", "a Tensor", 3, help="use mg.tensor")
    assert type(error) is TypeError
    expected = "relu: argument 'input': expected a Tensor, but got int\n  help: use mg.tensor"
    assert str(error) == expected
    error = errors.value_error("dropout", argument="p", expected="0 <= p <= 1", actual=2)
    assert type(error) is ValueError
    assert str(error) == "dropout: argument 'p': expected 0 <= p <= 1, but got 2"
    assert type(errors.shape_error("cat", "no tensors")) is RuntimeError
    error = errors.missing_package("draw", "graphviz", "viz")
    assert type(error) is ImportError and error.name == "graphviz"
    assert str(error).endswith("pip install 'minigrad[viz]'")
    assert str(errors.missing_package("draw", "graphviz")).endswith("pip install graphviz")


@pytest.mark.torch
@pytest.mark.parametrize(
    ("a", "b"), [((3,), (4,)), ((2, 3), (3, 3)), ((5, 1, 4), (3, 5)), ((2, 3, 4), (2, 2, 4))]
)
def test_broadcast_error_is_torchs(a: tuple, b: tuple) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as theirs:
        torch.ones(a) + torch.ones(b)
    ours = errors.broadcast_error(a, b)
    assert type(ours) is RuntimeError and str(ours) == str(theirs.value)


def test_broadcast_error_of_shapes_that_fit() -> None:
    with pytest.raises(ValueError, match="no error to report"):
        errors.broadcast_error((2, 1), (3,))


@pytest.mark.torch
@pytest.mark.parametrize(("dim", "shape"), [(1, ()), (-2, ()), (2, (3, 3)), (-4, (1, 2, 3))])
def test_dim_error_is_torchs(dim: int, shape: tuple) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(IndexError) as theirs:
        torch.ones(shape).sum(dim)
    ours = errors.dim_error(dim, len(shape))
    assert type(ours) is IndexError and str(ours) == str(theirs.value)


def test_unsupported_dtype() -> None:
    error = errors.unsupported_dtype("normal", "Long")
    assert isinstance(error, RuntimeError) and str(error) == "\"normal\" not implemented for 'Long'"
