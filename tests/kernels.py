"""Notebooks run from top to bottom, each in a kernel of its own."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

CELL_SECONDS = 600


def run_notebook(path: Path, folder: Path, home: Path, **environment: str) -> None:
    """Runs a notebook in a folder, with a progress file below `home`.

    Raises CellExecutionError with the cell and its traceback, or CellTimeoutError.
    """
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=CELL_SECONDS, resources=resources)
    own = {"CIRCUITS_COURSE_HOME": str(home), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    client.execute(env={**os.environ, **own, **environment})
