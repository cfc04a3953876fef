"""Causal interventions: activation patching, path patching, attribution patching, ablation.

Every function takes a `CourseTransformer` or a TransformerLens bridge and agrees with running the
whole model under hooks; it is faster because it computes only what an intervention changes.
"""

import lazy_loader

# What is offered, and where it lives, stands in __init__.pyi; a module is imported when asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
