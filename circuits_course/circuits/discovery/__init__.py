"""Automatic circuit discovery: the graph of edges, methods that rank it, and what judges them.

Names of heads and receivers are those of path patching, so that a planted circuit, a claim and what
a method finds can be compared as they are.
"""

import lazy_loader

# What is offered, and where it lives, stands in __init__.pyi; a module is imported when asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
