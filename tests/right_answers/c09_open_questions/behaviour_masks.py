"""Right answers to `behaviour_masks`, written in other ways than the reference."""

from .shared import masks_by_loops, masks_by_tril

RIGHT = [masks_by_loops, masks_by_tril]
