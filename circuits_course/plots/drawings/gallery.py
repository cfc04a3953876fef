"""All drawings of ideas, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.plots.drawings import (
    attention,
    composition,
    evidence,
    induction,
    ioi,
    lens,
    machine,
    patching,
    programs,
)
from circuits_course.plots.drawings.sheet import Sheet

DRAWINGS: dict[str, Callable[..., Sheet]] = {
    made.__name__: made
    for made in (
        machine.text_to_guess,
        machine.residual_stream,
        machine.cache_and_hook,
        attention.one_head,
        attention.attention_arcs,
        attention.grouped_keys,
        attention.paths_one_layer,
        programs.routing,
        programs.lookup,
        programs.aggregation,
        programs.filtering,
        induction.previous_token,
        induction.stripes,
        induction.looking_back,
        induction.induction_two_steps,
        composition.three_compositions,
        composition.virtual_head,
        composition.cut_path,
        ioi.ioi_gpt2,
        ioi.ioi_smollm2,
        patching.two_directions,
        patching.gates,
        patching.path_patching,
        lens.logit_lens,
        lens.tuned_lens,
        lens.written_and_erased,
        evidence.two_models,
        evidence.one_head_two_jobs,
        evidence.large_or_small_heads,
        evidence.three_tests,
        evidence.claim_graded,
    )
}


def draw(name: str, /, **data: Any) -> Sheet:
    """A drawing of an idea, such as `draw("induction_two_steps")`.

    data: tokens, heads and numbers of the model at hand, where the drawing takes any; its own
    docstring says which. Raises CourseError for a name or data that it does not know.
    """
    if name not in DRAWINGS:
        near = get_close_matches(name, DRAWINGS, 1, 0.6)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise CourseError(f"There is no drawing {name!r}.{hint} There are: {', '.join(DRAWINGS)}.")
    known = list(inspect.signature(DRAWINGS[name]).parameters)
    if unknown := [key for key in data if key not in known]:
        takes = ", ".join(known) or "nothing"
        raise CourseError(f"The drawing {name!r} takes {takes}, not {', '.join(unknown)}.")
    return DRAWINGS[name](**data)
