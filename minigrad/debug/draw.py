"""The graph behind a tensor, as text, as Graphviz source, or as a drawing.

print(minigrad.debug.graph_text(loss))
minigrad.debug.draw(loss, "loss.svg", params=dict(model.named_parameters()))
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.node import AccumulateGrad, Node
from ..core.tensor import Tensor
from ..export import export


def _shape_text(shape: Any) -> str:
    return "×".join(map(str, shape)) or "scalar"


def _describe(node: Node, names: Mapping[int, str]) -> tuple[str, str]:
    """(title, shape) of a node; a leaf shows the name of its variable."""
    if isinstance(node, AccumulateGrad):
        return names.get(id(node.variable), "leaf"), _shape_text(node.shape)
    shapes = [_shape_text(s) for s in node.shape] if node.multi else [_shape_text(node.shape)]
    return node.name().removesuffix("0").removesuffix("Backward"), ", ".join(shapes)


def _roots(tensors: Tensor | Iterable[Tensor]) -> list[Node]:
    found = []
    for t in [tensors] if isinstance(tensors, Tensor) else tensors:
        if t.grad_fn is None:
            raise ValueError(
                "draw: the tensor has no grad_fn; help: compute it from tensors with"
                " requires_grad=True"
            )
        found.append(t.grad_fn)
    return found


def _names(params: Mapping[str, Tensor] | None) -> dict[int, str]:
    return {} if params is None else {id(p): name for name, p in params.items()}


@export("debug.graph_text")
def graph_text(
    tensors: Tensor | Iterable[Tensor],
    params: Mapping[str, Tensor] | None = None,
    max_nodes: int = 200,
) -> str:
    """The graph as an indented list, results above what they were made from.

    A node met again is shown by its number only; after max_nodes the rest is counted, not listed.
    """
    names = _names(params)
    numbers: dict[Node, int] = {}
    lines: list[str] = []
    stack = [(node, 0) for node in reversed(_roots(tensors))]
    hidden = 0
    while stack:
        node, depth = stack.pop()
        indent = "  " * depth
        if node in numbers:
            lines.append(f"{indent}↑ {numbers[node]}")
            continue
        if len(numbers) >= max_nodes:
            hidden += 1
            continue
        numbers[node] = len(numbers) + 1
        title, shape = _describe(node, names)
        lines.append(f"{indent}{numbers[node]} {title} ({shape})")
        stack += [(edge[0], depth + 1) for edge in reversed(node.edges) if edge is not None]
    if hidden:
        lines.append(f"... {hidden} more branches (max_nodes={max_nodes})")
    return "\n".join(lines)


@export("debug.graph_dot")
def graph_dot(
    tensors: Tensor | Iterable[Tensor], params: Mapping[str, Tensor] | None = None
) -> str:
    """The graph in Graphviz' language: boxes for ops, ellipses for leaves, arrows in the direction
    of data.
    """
    names = _names(params)
    lines = ["digraph {", '  rankdir=TB; node [fontname="sans-serif", fontsize=11];']
    roots = _roots(tensors)
    seen: dict[Node, str] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen[node] = f"n{len(seen)}"
        stack += [edge[0] for edge in node.edges if edge is not None]
    for node, key in seen.items():
        title, shape = _describe(node, names)
        leaf = isinstance(node, AccumulateGrad)
        style = 'shape=ellipse, style=filled, fillcolor="#cfe8cf"' if leaf else "shape=box"
        if node in roots:
            style += ', style=filled, fillcolor="#f3d9b1"'
        label = f"{title}\\n{shape}".replace('"', "'")
        lines.append(f'  {key} [label="{label}", {style}];')
        lines += [f"  {seen[edge[0]]} -> {key};" for edge in node.edges if edge is not None]
    return "\n".join([*lines, "}"])


@export("debug.draw")
def draw(
    tensors: Tensor | Iterable[Tensor],
    path: str | os.PathLike,
    params: Mapping[str, Tensor] | None = None,
) -> str:
    """Write the graph to `path` (.svg, .png or .pdf by Graphviz, .dot or .txt without it) and
    return the path.

    Without the Graphviz program, an image cannot be made: the text form is written beside, and its
    path returned.
    """
    target = os.fspath(path)
    stem, kind = os.path.splitext(target)
    if kind in (".dot", ".txt"):
        text = graph_dot(tensors, params) if kind == ".dot" else graph_text(tensors, params)
        return _write(target, text)
    try:
        import graphviz

        source = graphviz.Source(graph_dot(tensors, params))
        return source.render(outfile=target, cleanup=True)
    except ImportError:
        return _write(stem + ".txt", graph_text(tensors, params))
    except graphviz.ExecutableNotFound:
        return _write(stem + ".txt", graph_text(tensors, params))


def _write(path: str, text: str) -> str:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return path
