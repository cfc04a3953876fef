"""Every learner's notebook runs through as it is shipped: no answer written, every cell fine."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernels import run_notebook

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.rebuild


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_a_notebook_runs_through_as_shipped(path: Path, tmp_path: Path) -> None:
    run_notebook(path, path.parent, tmp_path, CIRCUITS_COURSE_MODEL="smollm2-135m")
