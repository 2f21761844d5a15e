"""The engine: tensors, the graph of nodes they leave behind, and the walk back through it.

Reading order: modes, tensor, node, primitive, engine, views, function.
"""
