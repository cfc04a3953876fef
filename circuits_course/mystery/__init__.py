"""Mystery circuits: sealed models with a planted algorithm, claims about them, and their grading.

`load_mystery(name)` gives a model and inputs for it; a `Claim` says which heads do what, who reads
whom and what comes out; `grade(claim)` tries it by intervention. `new_mystery(seed)` makes another.
"""

from circuits_course.mystery.claims import Claim
from circuits_course.mystery.grading import Grade, grade
from circuits_course.mystery.making import load_mystery, mystery_paths, new_mystery
from circuits_course.mystery.menu import ALGORITHMS, ROLES
from circuits_course.mystery.sealing import Mystery

__all__ = [
    "ALGORITHMS",
    "ROLES",
    "Claim",
    "Grade",
    "Mystery",
    "grade",
    "load_mystery",
    "mystery_paths",
    "new_mystery",
]
