"""Tables and verdicts: the same rows in a page and as text; sentences with their figure."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from circuits_course import show_table, verdict
from circuits_course.errors import CourseError
from circuits_course.page.numbers import column_text
from circuits_course.page.tables import table_forms
from circuits_course.page.verdicts import DoesNotHold


def shown(capsys) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, -4e-8, 2.5e-10, 1.0], ["0.50", "0.00", "0.00", "1.00"]),
        ([-0.001, 0.9], ["0.00", "0.90"]),
        ([123.456, 7.0], ["123", "7"]),
        ([12.34, -7.0], ["12.3", "-7.0"]),
        ([0.0123, 0.004], ["0.012", "0.004"]),
        ([2.4e-6, 1.1e-7], ["2.4e-06", "1.1e-07"]),
        ([1, 20], ["1", "20"]),
        ([True, None, "x"], ["yes", "", "x"]),
        ([float("nan"), 1.0], ["–", "1.00"]),
        ([torch.tensor(0.25), torch.tensor(3)], ["0.25", "3"]),
    ],
)
def test_digits_follow_the_column_and_never_a_minus_zero(values, expected):
    assert column_text(values) == expected


def test_rows_in_every_form_give_the_same_table(capsys):
    forms = [
        ([{"head": "1.2", "score": 0.5}, {"head": "0.3", "score": 0.25}], None),
        ([("1.2", 0.5), ("0.3", 0.25)], ["head", "score"]),
        ({"1.2": 0.5, "0.3": 0.25}, ["head", "score"]),
    ]
    texts = []
    for rows, columns in forms:
        show_table(rows, columns)
        texts.append(capsys.readouterr().out)
    assert len(set(texts)) == 1
    assert texts[0].split()[:2] == ["head", "score"]


def test_a_dictionary_of_dictionaries_has_its_names_in_front(capsys):
    show_table({"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 4}}, caption="Both")
    assert shown(capsys)[0] == ["Both"]
    show_table({"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 4}}, columns=["y"])
    assert shown(capsys)[2:] == [["a", "2"], ["b", "4"]]


def test_a_row_that_does_not_fit_is_named():
    with pytest.raises(CourseError, match="3 cells, the table 2 columns"):
        show_table([(1, 2, 3)], columns=["a", "b"])
    with pytest.raises(CourseError, match="headings"):
        show_table([(1, 2)])


def test_the_page_gets_a_real_table_in_which_nothing_is_markup():
    text, page = table_forms(["<b>", "n"], [["<i>&", 1.0]], caption="A & B")
    assert "<caption>A &amp; B</caption>" in page
    assert "&lt;i&gt;&amp;" in page
    assert 'scope="col"' in page
    assert "text-align: right" in page
    assert "<i>&" in text


def test_a_verdict_shows_sentence_and_figure(capsys, monkeypatch):
    monkeypatch.delenv("CIRCUITS_COURSE_STRICT", raising=False)
    verdict("the sum of paths equals the logits", True, "largest difference 2e-06")
    assert capsys.readouterr().out == (
        "✔ Holds: the sum of paths equals the logits (largest difference 2e-06).\n"
    )
    verdict("it copies", torch.tensor(0.0) > 1)
    assert capsys.readouterr().out.startswith("✘ Does not hold: it copies.")


def test_a_verdict_that_does_not_hold_fails_the_solved_lane(monkeypatch):
    monkeypatch.setenv("CIRCUITS_COURSE_STRICT", "1")
    with pytest.raises(DoesNotHold, match=r"it copies \(score -0.2\)"):
        verdict("it copies", False, "score -0.2")


def test_named_heads_are_not_judged_on_another_model(capsys, monkeypatch):
    monkeypatch.setenv("CIRCUITS_COURSE_STRICT", "1")
    small = SimpleNamespace(cfg=SimpleNamespace(n_layers=2, n_heads=4, d_model=64))
    verdict("16.0 looks one token back", False, "0.87", model=small)
    assert "Measured on SmolLM2" in capsys.readouterr().out
    real = SimpleNamespace(cfg=SimpleNamespace(n_layers=30, n_heads=9, d_model=576))
    with pytest.raises(DoesNotHold):
        verdict("16.0 looks one token back", False, "0.87", model=real)
