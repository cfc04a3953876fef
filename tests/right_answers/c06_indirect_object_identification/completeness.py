"""Right answers to `completeness`, written in other ways than the reference."""

import numpy as np

from .shared import faithful_by_lists


def complete_by_comprehension(F, model_heads, circuit, removed):
    def left(heads):
        return [head for head in heads if head not in removed]

    return np.abs(F(left(circuit)) - F(left(model_heads)))


def complete_by_faithfulness(F, model_heads, circuit, removed):
    return faithful_by_lists(F, model_heads - removed, circuit - removed)


RIGHT = [complete_by_comprehension, complete_by_faithfulness]
