"""Pictures: interactive in a live notebook, a still picture in a saved one, and always in words.

Every function returns a `Figure`. Nothing here needs Jupyter, a network or torch.
"""

import lazy_loader

# What is offered, and where it lives, stands in __init__.pyi; a module is imported when asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
