"""Mystery circuits: sealed models with a planted algorithm, claims about them, and their grading.

`load_mystery(name)` gives a model and inputs for it; a `Claim` says which heads do what, who reads
whom and what comes out; `grade(claim)` tries it by intervention. `new_mystery(seed)` makes another.
"""

import lazy_loader

# What is offered, and where it lives, stands in __init__.pyi; a module is imported when asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
