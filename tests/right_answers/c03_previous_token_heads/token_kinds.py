"""Right answers to `token_kinds`, written in other ways than the reference."""

from .shared import kinds_by_loop, kinds_by_slices

RIGHT = [kinds_by_loop, kinds_by_slices]
