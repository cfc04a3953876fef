"""Transformer Circuits, the course: find, explain and prove attention circuits, step by step."""

import lazy_loader

# What is offered, and where it lives, stands in __init__.pyi. Imported on first use: torch and
# TransformerLens take seconds, and not every command needs them.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
