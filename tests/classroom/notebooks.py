"""Notebooks made up for the tests of the class report."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from circuits_course.checks import load_checks
from circuits_course.checks.references import reference_source
from circuits_course.classroom.sandbox import confinement

CHAPTER = "00_start_here"
EXERCISES = list(load_checks(CHAPTER).exercises)
SET_UP = """
import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import utilities as utils
from circuits_course import Chapter, load_model
chapter = Chapter("00_start_here")
"""
in_a_sandbox = pytest.mark.skipif(
    confinement().program is None, reason="no bubblewrap that runs on this machine"
)


def content(*cells: str, set_up: str = SET_UP) -> bytes:
    """A notebook with a set-up cell and these, as it lies on the disk."""
    source = [
        {"cell_type": "code", "source": textwrap.dedent(cell), "outputs": [], "metadata": {}}
        for cell in (set_up, *cells)
    ]
    return json.dumps({"cells": source, "nbformat": 4, "nbformat_minor": 5}).encode()


def notebook(path: Path, *cells: str, set_up: str = SET_UP) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(*cells, set_up=set_up))
    return path


def checked(source: str, name: str) -> str:
    return f"{source}\n\n{name} = chapter.check({name})"


RIGHT = checked(reference_source(CHAPTER, "split_heads"), "split_heads")


def attack(body: str, before: str = "") -> str:
    """read_pattern, which comes after split_heads, does something else instead."""
    body = textwrap.indent(textwrap.dedent(body), "    ")
    source = f"{before}\ndef read_pattern(model, tokens, layer, head):\n{body}"
    return checked(source, "read_pattern")


def by_learner(reports):
    return {report.learner: report for report in reports}
