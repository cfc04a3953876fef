"""What a claim's test has to work with: the models, and a record of what was found."""

from __future__ import annotations

import inspect
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from circuits_course import load_model
from circuits_course.circuits.claims import FAILS, HOLDS, Claim, shipped_claims
from circuits_course.circuits.evidence import Interval
from circuits_course.models.packed import packed

FOLDER = os.environ.get("CIRCUITS_COURSE_CLAIMS")  # where `make claims` collects the rows


@pytest.fixture(autouse=True, scope="package")
def _no_gradients():
    """Also while a module's fixtures measure: graphs of many knock-outs would fill the memory."""
    with torch.no_grad():
        yield


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="package")
def _packed_weights():
    """Every claim runs its model many times over."""
    with packed():
        yield


@pytest.fixture(scope="session")
def induction_2l():
    return load_model("induction-2l")


@pytest.fixture
def claim(request: pytest.FixtureRequest):
    """claim(figure, unit=..., holds=..., data=...): records one claim and asserts its verdict."""

    def record(
        figure, interval=None, *, unit, holds, data, controls=None, only="", expected=True, n=None
    ):
        found = interval if isinstance(interval, Interval) else None
        if isinstance(figure, Interval):
            figure, found = figure.mean, figure
        elif isinstance(interval, int | float):
            raise TypeError("interval: an Interval, or None where the figure is exact")
        row = Claim(
            chapter=request.module.__name__.rsplit("test_c", 1)[1],
            name=request.node.name.removeprefix("test_"),
            sentence=_sentence(request.function),
            verdict=(f"holds only on {only}" if only else HOLDS) if holds else FAILS,
            figure=float(f"{float(figure):.4g}"),
            unit=unit,
            low=None if found is None else float(f"{found.low:.4g}"),
            high=None if found is None else float(f"{found.high:.4g}"),
            n=found.n if found is not None else int(n or 1),
            controls=str(controls or ""),
            data=data,
        )
        _keep(row, request.function.__code__.co_firstlineno)
        assert bool(holds) is expected, f"{row.sentence}: {row.measured}, {row.interval}"
        if not FOLDER:
            _agrees_with_what_ships(row)

    return record


def _sentence(function) -> str:
    text = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
    assert text, f"{function.__name__} needs a docstring: the claim as a reader sees it"
    assert len(text) <= 160, f"{function.__name__}: a claim of {len(text)} characters"
    return text


def _keep(row: Claim, line: int) -> None:
    """The file's name has the test's line, so that the table keeps the order of the tests."""
    if FOLDER:
        path = Path(FOLDER) / f"{row.chapter}_{line:04d}_{row.name}.json"
        path.write_text(json.dumps(row.as_json()))


def _agrees_with_what_ships(row: Claim) -> None:
    shipped = next((c for c in shipped_claims(row.chapter) if c.name == row.name), None)
    assert shipped is not None, f"{row.name} is not in measured/claims.json; run `make claims`"
    same = replace(shipped, figure=row.figure, low=row.low, high=row.high, controls=row.controls)
    assert same == row, "measured/claims.json says otherwise; run `make claims`"
    if row.low is not None and shipped.low is not None:
        overlap = row.low <= shipped.high and shipped.low <= row.high
        assert overlap, f"{row.name}: now {row.interval}, shipped {shipped.interval}"
