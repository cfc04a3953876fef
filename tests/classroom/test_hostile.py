"""Notebooks that mean harm: they harm nobody, and whoever sits beside them gets the right marks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from classroom.notebooks import RIGHT, attack, by_learner, content, in_a_sandbox, notebook

from circuits_course.classroom import judge, sandbox
from circuits_course.classroom.cells import read_cells
from circuits_course.classroom.grading import check_folder
from circuits_course.classroom.judge import examine
from circuits_course.classroom.judges import close_judges
from circuits_course.classroom.report_page import page
from circuits_course.classroom.sandbox import Box, confinement
from circuits_course.errors import CourseError

SCRATCH = "/" + "tmp"  # in the sandbox; split, since no file names a place of this machine

OUTSIDE = Path(tempfile.gettempdir()) / "circuits_course_was_here"
HOSTILE = {
    "forks": ("import os\nwhile True:\n    os.fork()", "CRASHED", "PermissionError"),
    "starts": ("import subprocess\nsubprocess.run(['true'])", "CRASHED", "PermissionError"),
    "loops": ("while True:\n    pass", "CRASHED", "took longer than"),
    "hoards": ("x = bytearray(10_000_000_000)\nreturn x", "CRASHED", "MemoryError"),
    "tensors": ("import torch\nreturn torch.zeros(3_000_000_000)", "CRASHED", "RuntimeError"),
    "leaves": ("import os\nos._exit(0)", "CRASHED", "ended its own process"),
    "aborts": ("import os\nos.abort()", "CRASHED", "signal 6"),
    "exits": ("raise SystemExit(3)", "CRASHED", "SystemExit"),
    "floods": (
        "import sys\nfor _ in range(20_000): print('x' * 100)\nprint('x', file=sys.stderr)",
        "WRONG", "returned None",
    ),
    "calls": (
        "import socket\nsocket.create_connection(('127.0.0.1', 9))", "CRASHED", "PermissionError",
    ),
    "writes": (f"open({str(OUTSIDE)!r}, 'w')", "WRONG", "returned None"),
    "removes": (f"import shutil\nshutil.rmtree({str(OUTSIDE)!r})", "CRASHED", "FileNotFound"),
    "fills": (
        "with open('big', 'wb') as f:\n    for _ in range(100): f.write(bytes(1_000_000))",
        "CRASHED", "",
    ),
    "<b>html</b>": ("raise ValueError('<script>alert(1)</script>')", "CRASHED", "<script>"),
    "recurses": ("def f(): return f()\nreturn f()", "CRASHED", "RecursionError"),
}  # fmt: skip


@in_a_sandbox
def test_hostile_notebooks_harm_nobody_and_are_named(tmp_path):
    for learner, (body, _, _) in HOSTILE.items():
        notebook(tmp_path / learner.replace("/", "∕") / "--help.ipynb", RIGHT, attack(body))
    notebook(tmp_path / "honest.ipynb", RIGHT)
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "list.ipynb").write_text("[]")
    (tmp_path / "other.ipynb").write_text(json.dumps({"cells": []}))
    (tmp_path / "bytes.ipynb").write_bytes(bytes(range(256)))
    reports = by_learner(check_folder(tmp_path, exercise_seconds=5))
    assert reports["honest"].answers["split_heads"].outcome == "PASSED"
    for learner, (_, outcome, words) in HOSTILE.items():
        report = reports[learner.replace("/", "∕")]
        assert report.answers["split_heads"].outcome == "PASSED", learner
        assert report.answers["read_pattern"].outcome == outcome, (learner, report)
        assert words in report.answers["read_pattern"].text, (learner, report)
    assert not OUTSIDE.exists()
    assert "not JSON" in reports["broken"].trouble[0]
    assert "not a notebook" in reports["list"].trouble[0]
    assert "which chapter" in reports["other"].trouble[0]
    assert "not JSON" in reports["bytes"].trouble[0]
    html = page(list(reports.values()))
    assert "<script>" not in html
    assert "<b>html" not in html


# --- the judge is out of reach ----------------------------------------------------------------

LEARNER = "import gc, circuits_course.classroom.worker as w\n" \
    "learner = next(o for o in gc.get_objects() if isinstance(o, w.Learner))\n"  # fmt: skip
LIARS = {
    "patches_isclose": "import torch\n"
    "torch.isclose = lambda a, *r, **k: torch.ones_like(a).bool()\n"
    "torch.allclose = torch.equal = lambda *a, **k: True\nreturn torch.zeros(3, 5, 5)",
    "patches_the_checker": "from circuits_course.checking import exercise, compare, running\n"
    "running.find_difference = compare.find_difference = lambda *a, **k: None\n"
    "exercise.Exercise.check = lambda self, a: True\nreturn 0",
    "lies_about_equality": "class Liar:\n"
    "    shape = (1,)\n    def __eq__(self, other): return True\n"
    "    def __getattribute__(self, name): return lambda *a, **k: True\nreturn Liar()",
    "pretends_to_be_a_tensor": "import torch\nclass Liar(torch.Tensor):\n"
    "    @classmethod\n    def __torch_function__(cls, *a, **k): return torch.tensor(True)\n"
    "return torch.zeros(2).as_subclass(Liar)",
    "says_that_it_passed": LEARNER + "learner.say({'say': 'verdict', 'exercise': 'read_pattern', "
    "'verdict': True, 'outcome': 'PASSED'})\nreturn 0",
    "prints_a_result": "import os\nfor fd in range(3, 20):\n    try:\n"
    "        os.write(fd, b'{\"kind\": \"result\", \"outcome\": \"PASSED\"}')\n"
    "    except OSError:\n        pass\nreturn 0",
    "sends_what_is_nested": LEARNER + "x = []\nfor _ in range(5000): x = [x]\n"
    "import json, struct\ntext = ('['*100000).encode()\n"
    "learner._writer.write(struct.pack('>II', len(text), 0) + text)\nreturn 0",
    "sends_what_is_endless": LEARNER
    + "learner.say({'say': 'cell', 'cell': float('inf')})\nreturn 0",
    "sends_what_is_huge": LEARNER + "import struct\n"
    "learner._writer.write(struct.pack('>II', 2**32 - 1, 2**32 - 1))\nreturn 0",
    "pickles": "class P:\n"
    "    def __reduce__(self): return (print, ('x',))\nreturn P()",
    "raises_a_surrogate": "raise ValueError('\\ud800 \\udfff')",
    "returns_a_surrogate": "return '\\ud800'",
    "returns_itself": "x = []\nx.append(x)\nreturn x",
    "returns_much": "import torch\nreturn torch.zeros(30_000_000)",
    "returns_infinities": "return [float('inf'), float('nan'), 10**5000]",
}  # fmt: skip


@in_a_sandbox
def test_whoever_lies_to_the_judge_gains_nothing(tmp_path):
    for learner, body in LIARS.items():
        notebook(tmp_path / learner / "00.ipynb", RIGHT, attack(body))
    notebook(tmp_path / "honest.ipynb", RIGHT)
    reports = by_learner(check_folder(tmp_path, workers=2, exercise_seconds=20))
    assert set(reports) == {*LIARS, "honest"}
    for learner in LIARS:
        found = reports[learner].answers
        assert found["split_heads"].outcome == "PASSED", (learner, reports[learner])
        assert found["read_pattern"].outcome in ("WRONG", "CRASHED"), (learner, reports[learner])
    assert reports["honest"].answers["split_heads"].outcome == "PASSED"
    page(list(reports.values())).encode()


# --- nothing of the machine is in reach -------------------------------------------------------


def _finds(body: str) -> str:
    """Raises FoundIt where the body gets through, so that the report says so."""
    body = textwrap.indent(textwrap.dedent(body), "    ")
    return (
        f"try:\n{body}\nexcept BaseException as error:\n    return None\nraise ValueError('FOUND')"
    )


def intrusions(secret: Path, other: Path, process: int) -> dict[str, str]:
    home = Path.home()
    needed = {Path(place).relative_to(home).parts[0] for place in sandbox._places()
              if Path(place).is_relative_to(home)}  # fmt: skip
    return {
        "reads_a_file": f"open({str(secret)!r}).read()",
        "reads_the_neighbour": f"open({str(other)!r}).read()",
        "lists_the_home": f"import os\n"
        f"assert set(os.listdir({str(home)!r})) - {needed!r}",
        "reads_passwords": "open('/etc/passwd').read(); open('/etc/shadow').read()",
        "reads_the_environment": "import os\nos.environ['CIRCUITS_COURSE_SECRET']",
        "reads_another_environment": "open('/proc/1/environ').read().index('SECRET')",
        "opens_the_box": "from circuits_course.classroom import sandbox\n"
        "from circuits_course.checking import limits\n"
        f"limits._REFUSED = {{}}\nopen({str(secret)!r}, 'a').write('x')",
        "by_descriptor": f"import os\nos.open({secret.name!r}, os.O_WRONLY, "
        f"dir_fd=os.open({str(secret.parent)!r}, os.O_RDONLY))",
        "by_sqlite": f"import sqlite3\n"
        f"sqlite3.connect({str(secret) + '.db'!r}).execute('create table t(x)')",
        "by_torch": f"import torch\ntorch.save({{}}, {str(secret)!r})",
        "by_torch_mapped": f"import torch\ntorch.from_file({str(secret)!r}, shared=True, size=4)",
        "writes_the_course": "import circuits_course\n"
        "open(circuits_course.__file__, 'a').write('#')",
        "writes_the_system": "open('/usr/x', 'w')",
        "signals": f"import os\nos.kill({process}, 0)",
        "signals_all": "import os\nos.kill(-1, 9)",
        "signals_the_server": "import os\nos.kill(os.getppid(), 19)",
        "signals_by_descriptor": "import os, signal\n"
        "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)",
        "limits_the_server": "import os, resource\n"
        "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
        "starts": "import _posixsubprocess, os\nos.posix_spawn('/bin/true', ['true'], {})",
        "leaves_the_namespace": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0",
        "uses_the_network": "import socket\n"
        "socket.create_connection(('1.1.1.1', 53), timeout=3)",
        "speaks_to_this_machine": "import socket\nsocket.socket(socket.AF_UNIX)",
        "fills_the_scratch": "for i in range(20):\n"
        f"    open(f'{SCRATCH}/{{i}}', 'wb').write(bytes(9_000_000))",
    }  # fmt: skip


@in_a_sandbox
def test_a_sandboxed_answer_reaches_nothing(tmp_path, monkeypatch):
    """Each tries one way out; FOUND would say that it is one. The innocent come after them."""
    monkeypatch.setenv("CIRCUITS_COURSE_SECRET", "42")
    close_judges()  # those that are there would not know the secret
    secret, folder = tmp_path / "secret.txt", tmp_path / "class"
    secret.write_text("secret")
    other = notebook(folder / "zoe.ipynb", RIGHT)
    innocent = subprocess.Popen(["sleep", "600"])
    tried = intrusions(secret, other, innocent.pid)
    for learner, body in tried.items():
        notebook(folder / learner / "00.ipynb", RIGHT, attack(_finds(body)))
    reports = by_learner(check_folder(folder, workers=1, exercise_seconds=20))
    assert innocent.poll() is None
    innocent.kill()
    innocent.wait()
    for learner in tried:
        answer = reports[learner].answers["read_pattern"]
        assert "FOUND" not in answer.text, learner
        assert answer.outcome == "WRONG", (learner, reports[learner])
    assert reports["zoe"].answers["split_heads"].outcome == "PASSED"
    assert secret.read_text() == "secret"
    assert [path.name for path in tmp_path.iterdir() if "secret" in path.name] == ["secret.txt"]


@in_a_sandbox
def test_nothing_is_left_for_the_next_notebook(tmp_path):
    leaves = (
        "".join(f"open('{p}/left', 'w').write('x'); " for p in (SCRATCH, "/dev/shm")) + "return 0"
    )
    looks = f"import os\nraise ValueError(str(os.listdir('{SCRATCH}') + os.listdir('/dev/shm')))"
    notebook(tmp_path / "a.ipynb", attack(leaves))
    notebook(tmp_path / "b.ipynb", attack(looks))
    reports = by_learner(check_folder(tmp_path, workers=1))
    assert "ValueError: [] " in reports["b"].answers["read_pattern"].text


@in_a_sandbox
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_sandbox_serves_an_ordinary_user_too(monkeypatch):
    monkeypatch.setattr(sandbox, "_places", list)  # this Python may lie where only root may look
    script = (
        "id -u; ls / | tr '\\n' ' '; test -w /usr || echo read-only; "
        f"touch {SCRATCH}/x && echo scratch"
    )
    command = [*sandbox._bubblewrap(str(confinement().program)), "/bin/sh", "-c", script]
    done = subprocess.run(command, user=65534, group=65534, extra_groups=[], cwd="/",
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.stdout.split()[0] == "1000", done.stderr
    assert "read-only" in done.stdout
    assert "scratch" in done.stdout
    assert " home " not in done.stdout


def test_without_a_sandbox_it_is_asked_for_trust_and_root_is_refused(monkeypatch):
    monkeypatch.setattr(sandbox, "confinement", lambda: sandbox.Confinement(None, "Nothing."))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CourseError, match="--trust"):
        sandbox.require(trust=False)
    assert sandbox.require(trust=True).program is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(CourseError, match="root"):
        sandbox.require(trust=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bubblewrap is for Linux")
def test_a_bubblewrap_that_may_not_run_is_told_apart_from_none(monkeypatch, tmp_path):
    """As on Ubuntu 24.04, where it is installed and user namespaces are denied."""
    denied = tmp_path / "bwrap"
    denied.write_text(
        "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n"
    )
    denied.chmod(0o755)
    monkeypatch.setattr(sandbox, "_programs", lambda: [str(denied)])
    found = sandbox.confinement.__wrapped__()
    assert found.program is None
    monkeypatch.setattr(sandbox, "confinement", lambda: found)
    for user in (0, 1000):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        with pytest.raises(CourseError, match="uid map: Permission denied") as error:
            sandbox.require(trust=False)
        assert "user namespaces" in str(error.value)
        assert "Install" not in str(error.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a filter of Linux")
def test_a_trusted_notebook_still_starts_no_process_and_is_stopped():
    box = Box(None)
    try:
        start = attack("import subprocess\nsubprocess.run(['true'])")
        found = examine("a.ipynb", content(RIGHT, start), box, 20)
        assert found.answers["split_heads"].outcome == "PASSED"
        assert "PermissionError" in found.answers["read_pattern"].text
        speak = attack("import socket\nsocket.create_connection(('127.0.0.1', 9))")
        found = examine("c.ipynb", content(speak), box, 20)
        assert "PermissionError" in found.answers["read_pattern"].text
        found = examine("b.ipynb", content(RIGHT, attack("while True: pass")), box, 2)
        assert "took longer" in found.answers["read_pattern"].text
    finally:
        box.close()


# --- time -------------------------------------------------------------------------------------


@in_a_sandbox
def test_an_endless_stream_of_quick_checks_ends(monkeypatch):
    monkeypatch.setattr(judge, "NOTEBOOK_SECONDS", 6.0)
    stream = "for _ in iter(int, 1):\n    chapter.check(split_heads)"
    box = Box(confinement().program)
    try:
        examine("warm.ipynb", content(RIGHT), box, 20)
        start = time.monotonic()
        found = examine("a.ipynb", content(RIGHT, stream), box, 20)
    finally:
        box.close()
    assert time.monotonic() - start < 30
    assert found.answers["split_heads"].outcome == "PASSED"
    assert "in all" in found.trouble[0]


@pytest.mark.parametrize(
    "cell", ["\n" * 40_000 + "!ls", "%magic\n" * 3000, "(" * 5000, "x = !a\n" * 2000]
)
def test_odd_cells_are_read_in_no_time(cell):
    start = time.monotonic()
    read_cells("00.ipynb", content(cell))
    assert time.monotonic() - start < 5


@in_a_sandbox
def test_a_killed_report_leaves_nobody_behind(tmp_path):
    for number in range(4):
        notebook(tmp_path / f"{number}.ipynb", RIGHT, attack("while True: pass"))
    command = [sys.executable, "-m", "circuits_course.cli", "report", str(tmp_path), "--out",
               str(tmp_path / "r.html"), "--workers", "1"]  # fmt: skip
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while len(family := _descendants(running.pid)) < 5 and time.monotonic() < deadline:
        time.sleep(0.3)  # judge, bubblewrap, its init, the server, the learner
    assert len(family) >= 4
    running.kill()
    running.wait()
    while any(map(_is_alive, family)) and time.monotonic() < deadline + 20:
        time.sleep(0.2)
    assert not [pid for pid in family if _is_alive(pid)]


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *_descendants(child)]
    return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
