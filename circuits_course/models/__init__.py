"""Get a model: the course's own, SmolLM2, any of the hub; train one of the course's again."""

import lazy_loader

# What is offered, and where it lives, stands in __init__.pyi; a module is imported when asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
