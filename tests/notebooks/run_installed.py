"""Runs every student notebook of the installed package in an empty folder, as on Colab.

    python run_installed_notebooks.py

Prints versions, then a line for each notebook; exit code 1 if a cell of any raised.
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from circuits_course.storage import source_dir

SHOWN = ("circuits-course", "torch", "numpy", "transformers", "ipywidgets", "ipython", "plotly")


def run(path: Path, folder: str) -> str:
    """What a notebook's last error says; nothing where every cell ran."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    try:
        client.execute()
    except CellExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    return ""


def main() -> None:
    folder = source_dir("notebooks")
    if "site-packages" not in folder.parts:
        sys.exit(f"The course is not installed from a wheel: its notebooks lie in {folder}.")
    print(
        "Python", sys.version.split()[0], *(f"{name} {version(name)}" for name in SHOWN), sep=", "
    )
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.glob("*.ipynb")):
            start = time.monotonic()
            error = run(path, scratch)
            failed |= bool(error)
            print(f"{path.stem}: {error or 'ran'} ({time.monotonic() - start:.0f} s)", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
