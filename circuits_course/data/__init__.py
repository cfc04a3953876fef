"""What models read: sequences of known statistics, prompts, English in the public domain."""

import lazy_loader

# What is offered, and where it lives, stands in __init__.pyi; a module is imported when asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
