"""A slider through the checkpoints of a training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.plots.explorers.explorer import Explorer
from circuits_course.plots.figure import Figure


class CheckpointScrubber(Explorer):
    """Walk through training with a slider: `draw(step, frame)` gives the figure of one checkpoint.

    frames: {training step: whatever draw needs, such as a pattern or a dictionary of scores};
    start: the step shown first and in a saved notebook (the last by default).
    """

    def __init__(
        self,
        frames: Mapping[int, Any],
        draw: Callable[[int, Any], Figure],
        *,
        start: int | None = None,
        label: str = "training step",
    ) -> None:
        if not frames:
            raise CourseError("There is no checkpoint to scrub through: frames is empty.")
        steps = sorted(frames)
        super().__init__(
            lambda step: draw(step, frames[step]),
            {"step": steps},
            start={"step": steps[-1] if start is None else start},
            labels={"step": label},
        )
