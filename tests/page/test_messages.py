"""Marks in messages and questions are rendered, and never shown raw."""

from __future__ import annotations

import pytest

from circuits_course.page.messages import marked, prose, unmarked


@pytest.mark.parametrize(
    ("line", "page", "plain"),
    [
        ("what it *asks for*", "what it <em>asks for</em>", "what it asks for"),
        ("**never** this", "<strong>never</strong> this", "never this"),
        ("`a * b * c` is code", "<code>a * b * c</code> is code", "a * b * c is code"),
        ("2 * 3 * 4", "2 * 3 * 4", "2 * 3 * 4"),
        ("x*y*z", "x*y*z", "x*y*z"),
        ("<b> & *c*", "&lt;b&gt; &amp; <em>c</em>", "<b> & c"),
    ],
)
def test_marks(line, page, plain):
    assert marked(line) == page
    assert unmarked(line) == plain


def test_indented_lines_are_code():
    assert "<pre" in prose("  x = 1")
