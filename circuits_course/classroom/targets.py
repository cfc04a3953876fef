"""Which wheels another machine needs: resolved for its system and Python, not for this one's.

pip downloads wheels for another platform, but asks whether a package needs another one on the
machine that it runs on. Here that question is put for the target: beginning with the course, every
wheel's own list of what it needs is read with the target's markers, versions as pinned.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from circuits_course.errors import CourseError

Pip = Callable[[Sequence[str]], None]

LAST_PATCH = 40  # no Python has had as many releases
_SYSTEMS = {  # start of a platform's name -> sys.platform, platform.system(), os.name
    "win": ("win32", "Windows", "nt"),
    "macosx": ("darwin", "Darwin", "posix"),
    "manylinux": ("linux", "Linux", "posix"),
    "linux": ("linux", "Linux", "posix"),
}
_MACHINES = {"win_amd64": "AMD64", "win_arm64": "ARM64", "win32": "x86"}
_MANYLINUX = re.compile(r"manylinux_2_(\d+)_(\w+)")
_OLDEST_GLIBC = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True)
class Target:
    """A kind of machine: platform as pip names it ("win_amd64"), Python as "3.12".

    Raises CourseError for a platform or a Python that there is not.
    """

    platform: str
    python: str

    def __post_init__(self) -> None:
        if self._system is None or "_" not in self.platform.replace("win32", "win_32"):
            raise CourseError(
                f"{self.platform!r} is no platform as pip names it: win_amd64, macosx_14_0_arm64, "
                "manylinux_2_28_x86_64, ..."
            )
        if not re.fullmatch(r"3\.\d+", self.python):
            raise CourseError(f"{self.python!r} is no Python version; write it as 3.12.")

    @property
    def _system(self) -> tuple[str, str, str] | None:
        starts = (value for start, value in _SYSTEMS.items() if self.platform.startswith(start))
        return next(starts, None)

    @property
    def machine(self) -> str:
        """What `platform.machine()` says there."""
        named = re.sub(r"^(macosx|manylinux|linux)(_\d+_\d+|\d+)?_", "", self.platform)
        return _MACHINES.get(self.platform, named)

    @property
    def system(self) -> str:
        """What `sys.platform` says there."""
        assert self._system is not None
        return self._system[0]

    def markers(self) -> dict[str, str]:
        """The environment in which a requirement's markers are judged."""
        assert self._system is not None
        system, name, os_name = self._system
        return {
            "sys_platform": system, "platform_system": name, "os_name": os_name,
            "platform_machine": self.machine, "python_version": self.python,
            "python_full_version": f"{self.python}.0", "platform_release": "",
            "platform_version": "", "platform_python_implementation": "CPython",
            "implementation_name": "cpython", "implementation_version": f"{self.python}.0",
        }  # fmt: skip

    def pip_options(self) -> list[str]:
        """What makes `pip download` take the wheels of this target."""
        options = ["--only-binary", ":all:", "--implementation", "cp"]
        options += ["--python-version", self.python]
        return options + [word for tag in self._tags() for word in ("--platform", tag)]

    def _tags(self) -> Iterator[str]:
        """A Linux runs wheels for every older C library, too; of Macs pip knows that itself."""
        found = _MANYLINUX.fullmatch(self.platform)
        if not found:
            yield self.platform
            return
        newest, machine = int(found[1]), found[2]
        for minor in range(newest, 4, -1):
            yield f"manylinux_2_{minor}_{machine}"
            if minor in _OLDEST_GLIBC:
                yield f"{_OLDEST_GLIBC[minor]}_{machine}"


def pins(constraints: str, target: Target) -> dict[str, str]:
    """Package -> pinned version, from lines as `constraints.txt` has them."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (line.split("#")[0].strip() for line in constraints.splitlines())
    pinned: dict[str, str] = {}
    for wanted in (Requirement(line) for line in lines if line):
        if wanted.marker is None or wanted.marker.evaluate(target.markers()):
            pinned[canonicalize_name(wanted.name)] = str(wanted.specifier)
    return pinned


def fetch_for(target: Target, course: Path, constraints: str, folder: Path, pip: Pip) -> None:
    """Fetches into an empty folder every wheel that the course's wheel, with JupyterLab, needs.

    Those beside the course's wheel that serve every machine are copied, not asked for again. Raises
    CourseError where one cannot be had.
    """
    from packaging.utils import canonicalize_name

    pinned = pins(constraints, target)
    versions: dict[str, str] = {}
    read: dict[str, set[str]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    name: str = canonicalize_name("circuits-course")
    # What only exists as source was built beside the course's wheel, and serves everywhere.
    options = ["--no-deps", "--find-links", str(course.parent), "--dest", str(folder)]
    wheels: dict[str, Path] = {name: course}
    waiting = {name: {"", "lab"}}
    while waiting:
        new = [name for name in waiting if name not in wheels]
        if new:
            wanted = {name: pinned.get(name, versions[name]) for name in new}
            for name in _copied(wanted, course.parent, folder, target.python):
                del wanted[name]
            if wanted:
                asked = [name + version for name, version in wanted.items()]
                pip(["download", *options, *target.pip_options(), *asked])
            wheels |= {_package(path): path for path in folder.glob("*.whl")}
        following: dict[str, set[str]] = {}
        for name, extras in waiting.items():
            read[name] = read.get(name, set()) | extras
            for other, more, version in needs(wheels[name], extras, target):
                versions.setdefault(other, version)
                following.setdefault(other, set()).update(more | {""})
        waiting = {name: more - read.get(name, set()) for name, more in following.items()}
        waiting = {name: more for name, more in waiting.items() if more}


def _copied(wanted: dict[str, str], at_hand: Path, folder: Path, python: str) -> list[str]:
    """Copies those packages of which a folder has a wheel for any machine; their names."""
    from packaging.utils import parse_wheel_filename

    copied = []
    for path in at_hand.glob("*-none-any.whl"):
        name, version, _, tags = parse_wheel_filename(path.name)
        pure = any(tag.interpreter == "py3" for tag in tags)
        if pure and wanted.get(name) == f"=={version}" and _accepts(path, python):
            shutil.copy(path, folder)
            copied.append(str(name))
    return copied


def _accepts(wheel: Path, python: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return f"{python}.{LAST_PATCH}" in SpecifierSet(_metadata(wheel)["Requires-Python"] or "")


def needs(
    wheel: Path, extras: Iterable[str], target: Target
) -> Iterator[tuple[str, set[str], str]]:
    """What a wheel needs on a target: package, its extras, versions that will do."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for line in _metadata(wheel).get_all("Requires-Dist") or []:
        wanted = Requirement(line)
        environments = ({**target.markers(), "extra": extra} for extra in extras)
        if wanted.marker is None or any(map(wanted.marker.evaluate, environments)):
            yield canonicalize_name(wanted.name), set(wanted.extras), str(wanted.specifier)


def least_python(wheels: Iterable[Path], python: str) -> str:
    """The first release of a Python ("3.11.5" of "3.11") that every wheel accepts."""
    from packaging.specifiers import SpecifierSet

    asked = {_metadata(wheel)["Requires-Python"] or "" for wheel in wheels}
    accepted = [SpecifierSet(line) for line in asked]
    releases = (f"{python}.{patch}" for patch in range(LAST_PATCH))
    found = (release for release in releases if all(release in line for line in accepted))
    return next(found, f"{python}.0")


def _metadata(wheel: Path) -> Any:
    with ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode("utf-8"), headersonly=True)


def _package(wheel: Path) -> str:
    from packaging.utils import parse_wheel_filename

    return parse_wheel_filename(wheel.name)[0]
