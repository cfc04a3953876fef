"""nbval runs every learner's notebook as it is shipped: no answer written, every cell fine.

Cells tagged `nbval-check-output` must say what they say in the file. A test for each notebook, so
that a free worker takes the next one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernels import CELL_SECONDS

ROOT = Path(__file__).resolve().parents[2]
NBVAL = ("--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}")
PLAIN = ("-p", "no:xdist", "-p", "no:randomly", "-p", "no:cacheprovider", "-q")

pytestmark = pytest.mark.rebuild


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_a_notebook_runs_through_as_shipped(path: Path, tmp_path: Path) -> None:
    ran = nbval(path, tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:]


def test_nbval_fails_where_a_cell_raises_or_says_something_else(tmp_path: Path) -> None:
    import nbformat

    cell = nbformat.v4.new_code_cell
    said = nbformat.v4.new_output("stream", text="1\n")
    for name, source in (("raises", "1 / 0"), ("differs", "print(2)"), ("fine", "print(1)")):
        cells = [
            cell(
                source, execution_count=1, outputs=[said], metadata={"tags": ["nbval-check-output"]}
            )
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
        ran = nbval(tmp_path / f"{name}.ipynb", tmp_path)
        assert (ran.returncode == 0) == (name == "fine"), ran.stdout


def nbval(path: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """A notebook in a kernel of its own, with a progress file below `home`."""
    own = {"CIRCUITS_COURSE_HOME": str(home), "CIRCUITS_COURSE_MODEL": "smollm2-135m"}
    environment = {**os.environ, **own, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", *PLAIN, *NBVAL, str(path)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
