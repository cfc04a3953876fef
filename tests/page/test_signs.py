"""Every command prints on every console."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from circuits_course.page.signs import print_anywhere


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "✔ 2 × 3 … “é”"),
        ("cp1252", "[ok] 2 × 3 … “é”"),
        ("ascii", '[ok] 2 x 3 ... "e"'),
    ],
)
def test_signs_that_an_encoding_lacks_become_plain(encoding, expected):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_anywhere(stream)
    print("✔ 2 × 3 … “é”", file=stream, end="", flush=True)
    assert raw.getvalue().decode(encoding) == expected


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize(
    "arguments", [("doctor",), ("models",), ("progress", "00"), ("mystery", "list"), ("nonsense",)]
)
def test_every_command_prints_on_a_console_that_is_not_utf_8(encoding, arguments, tmp_path):
    environment = {
        **os.environ,
        "PYTHONIOENCODING": encoding,
        "PYTHONUTF8": "0",
        "CIRCUITS_COURSE_HOME": str(tmp_path),
        "CIRCUITS_COURSE_TIMEOUT": "2",
        "NO_COLOR": "1",
    }
    answer = subprocess.run(
        [sys.executable, "-m", "circuits_course.cli", *arguments],
        env=environment,
        capture_output=True,
        timeout=120,
    )
    said = (answer.stdout + answer.stderr).decode(encoding)
    assert "Traceback" not in said
    assert said.strip()


def test_a_message_prints_in_a_script_whose_output_goes_to_an_ascii_file(tmp_path):
    code = "from circuits_course import Chapter; Chapter('00').hint('split_heads')"
    environment = {
        **os.environ, "PYTHONIOENCODING": "ascii", "CIRCUITS_COURSE_HOME": str(tmp_path),
    }  # fmt: skip
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert b"Hint 1 of" in answer.stdout
