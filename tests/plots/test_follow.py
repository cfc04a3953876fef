"""A figure that follows a training by itself."""

from dataclasses import dataclass

from circuits_course.plots import LiveTraining


@dataclass
class Step:
    number: int


def falling(step: Step) -> dict[str, float]:
    return {"loss": 100.0 - step.number}


def test_every_tenth_step_is_measured_up_to_the_last(capsys):
    with LiveTraining("training", total=40) as live:
        history = live.follow(map(Step, range(1, 100)), falling)
    assert history == {"step": [10, 20, 30, 40], "loss": [90.0, 80.0, 70.0, 60.0]}


def test_it_ends_when_told_to(capsys):
    with LiveTraining("training", total=90) as live:
        history = live.follow(
            map(Step, range(1, 100)), falling, every=5, stop=lambda seen: seen["loss"][-1] < 88
        )
    assert history["step"] == [5, 10, 15]
