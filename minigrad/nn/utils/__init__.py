"""Helpers around modules: gradient clipping, parameters as one vector."""
