"""Looking inside: drawings of the graph, the public API as a list."""

from __future__ import annotations

from .draw import draw, graph_dot, graph_text

__all__ = ["draw", "graph_dot", "graph_text"]
