"""Causal interventions: activation patching, path patching, attribution patching, ablation.

Every function takes a `CourseTransformer` or a TransformerLens bridge and agrees with running the
whole model under hooks; it is faster because it computes only what an intervention changes.
"""

from circuits_course.patching.ablation import Ablation, ablate
from circuits_course.patching.attribution import attribution_patch
from circuits_course.patching.metrics import LogitDifference, first_difference
from circuits_course.patching.path import path_patch, path_patch_sweep
from circuits_course.patching.sweep import patch_sweep

__all__ = [
    "Ablation",
    "LogitDifference",
    "ablate",
    "attribution_patch",
    "first_difference",
    "patch_sweep",
    "path_patch",
    "path_patch_sweep",
]
