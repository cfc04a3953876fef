"""A real JupyterHub, five learners at once, one shared model: `make test-hub`. Prints figures.

    python tests/hub/run_hub.py [CHAPTER [CELLS]]

CELLS: only the first so many code cells. Each learner's server is started by the hub, each
chapter, with its exercises solved, runs in a kernel of that server, cell by cell through the hub's
proxy. Every learner must get through without an error, load the shared model without a copy of it
on the disk or in memory, and, where root started this, be a user of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from circuits_course.models.loading import load_model
from circuits_course.storage import PACKAGE, cache_dir, source_dir

HERE = Path(__file__).parent
LEARNERS = [f"learner{number}" for number in range(1, 6)]
PATIENCE = float(os.environ.get("HUB_PATIENCE", "3600"))  # seconds for the slowest cell
MEASURE = """
import json as _json, os as _os, time as _time
_file, _kb = "", {"mapped": 0, "copied": 0}
for _line in open("/proc/self/smaps"):
    _words = _line.split()
    if not _words[0].endswith(":"):
        _file = _words[-1]
    elif _file.endswith("/model.safetensors") and _words[0] in ("Rss:", "Anonymous:"):
        _kb["mapped" if _words[0] == "Rss:" else "copied"] += int(_words[1])
_found = {"user": _os.getuid(), "cpu_s": round(_time.process_time())}
print(_json.dumps(_found | {name: round(kb / 1e6, 2) for name, kb in _kb.items()}))
"""
SAMPLING = 2.0  # seconds


def main() -> None:
    chapter = sys.argv[1] if len(sys.argv) > 1 else "03_previous_token_heads"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and what was begun is ended
    require_python_for_all()
    place = Path(tempfile.mkdtemp(prefix="circuits-course-hub-"))
    place.chmod(0o755)
    hub = None
    try:
        share_model(place / "shared")
        port, token = free_port(), secrets.token_hex(16)
        hub = start_hub(place, port, token)
        cells = code_cells(chapter)[: int(sys.argv[2]) if len(sys.argv) > 2 else None]
        asyncio.run(lesson(f"http://127.0.0.1:{port}", token, cells, place))
    except Exception:
        print((place / "hub" / "log").read_text()[-3000:])
        raise
    finally:
        if hub:
            hub.terminate()
            hub.wait(60)
        shutil.rmtree(place, ignore_errors=True)


def require_python_for_all() -> None:
    """Learners are other users: what this Python runs from must not lie in somebody's home."""
    for path in (Path(sys.executable), Path(sys.executable).resolve(), PACKAGE):
        closed = [place for place in path.parents if not place.stat().st_mode & 0o001]
        if os.getuid() == 0 and closed:
            sys.exit(
                f"{path} cannot be reached by other users, since {closed[-1]} is closed to them. "
                "Take a Python and a checkout elsewhere: make test-hub PYTHON=..."
            )


def share_model(shared: Path) -> None:
    """Fills the shared folder as the guide says, or with a copy of what is on this machine."""
    load_model("smollm2-135m")
    shutil.copytree(cache_dir() / "models", shared / "models")
    for path in [shared, *shared.rglob("*")]:  # as `keep` leaves them, and read-only
        path.chmod(0o555 if path.is_dir() else 0o444)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start_hub(place: Path, port: int, token: str) -> subprocess.Popen[bytes]:
    proxy = os.environ.get("HUB_PROXY") or shutil.which("configurable-http-proxy")
    if not proxy:
        sys.exit("configurable-http-proxy is missing: npm install configurable-http-proxy")
    environment = {**os.environ, "HUB_PLACE": str(place), "HUB_PORT": str(port),
                   "HUB_TOKEN": token, "HUB_PROXY": proxy}  # fmt: skip
    command = [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "jupyterhub_config.py")]
    (place / "hub").mkdir(mode=0o700)
    with (place / "hub" / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=place / "hub", env=environment, stdout=log, stderr=log)


async def lesson(address: str, token: str, cells: list[str], place: Path) -> None:
    """Everybody at once; figures for each, then for all."""
    await until_it_answers(address, token, place)
    begun, memory = time.monotonic(), Memory()
    watching = asyncio.create_task(memory.watch())
    found = await asyncio.gather(*(learner(address, token, name, cells) for name in LEARNERS))
    seconds = time.monotonic() - begun
    held = memory.sample()  # of all, before the first has gone
    watching.cancel()
    for name in LEARNERS:
        await ask(address, token, "DELETE", f"/hub/api/users/{name}/server")
    for name, figures in zip(LEARNERS, found, strict=True):
        print(name, json.dumps({**figures, "held": held[name], "peak": memory.peaks[name]}))
    problems = [line for figures in found for line in figures["problems"]]
    copies = [str(path) for path in (place / "homes").rglob("model.safetensors")]
    assert not problems, problems
    assert not copies, copies
    if os.getuid() == 0:
        assert len({figures["user"] for figures in found}) == len(LEARNERS)
    together = sum(figures["shares"] for figures in held.values())
    size = sum(path.stat().st_size for path in (place / "shared").rglob("*.safetensors")) / 1e9
    print(f"{len(cells)} cells, {len(LEARNERS)} learners at once: {seconds:.0f} s. "
          f"All together hold {together:.1f} GB, at the peak {memory.peak:.1f} GB; "
          f"the model has {size:.2f} GB.")  # fmt: skip
    assert len({figures["mapped"] > 0 for figures in found}) == 1, "not all use the shared file"
    assert not any(figures["copied"] for figures in found), "weights were copied"


class Memory:
    """GB of each learner's processes: all that is resident, their shares of what is shared (PSS),
    and what is theirs alone."""

    def __init__(self) -> None:
        self.peaks = {name: {"resident": 0.0, "shares": 0.0, "own": 0.0} for name in LEARNERS}
        self.peak = 0.0

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(SAMPLING)
            now = self.sample()
            self.peak = max(self.peak, sum(figures["shares"] for figures in now.values()))
            for name, figures in now.items():
                self.peaks[name] = {k: max(figures[k], v) for k, v in self.peaks[name].items()}

    def sample(self) -> dict[str, dict[str, float]]:
        """By learner, all their processes together."""
        found = {name: {"resident": 0.0, "shares": 0.0, "own": 0.0} for name in LEARNERS}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "environ").read_bytes().split(b"\0")
                name = next(
                    (w[16:].decode() for w in words if w.startswith(b"JUPYTERHUB_USER=")), ""
                )
                if name in found:
                    lines = (process / "smaps_rollup").read_text().splitlines()[1:]
                    kb = {line.split(":")[0]: int(line.split()[1]) / 1e6 for line in lines}
                    found[name]["resident"] += kb["Rss"]
                    found[name]["shares"] += kb["Pss"]
                    found[name]["own"] += kb["Private_Dirty"] + kb["Private_Clean"]
            except (OSError, ValueError, KeyError):  # it has gone, or is somebody else's
                continue
        return {n: {k: round(v, 2) for k, v in figures.items()} for n, figures in found.items()}


async def until_it_answers(address: str, token: str, place: Path) -> None:
    for _ in range(120):
        try:
            await ask(address, token, "GET", "/hub/api/")
            return
        except Exception:
            await asyncio.sleep(1)
    sys.exit((place / "hub" / "log").read_text()[-3000:])


async def ask(address: str, token: str, method: str, path: str, body: Any = None) -> Any:
    """One request to the hub or to a learner's server."""
    request = HTTPRequest(
        address + path,
        method=method,
        headers={"Authorization": f"token {token}"},
        body=None if method != "POST" else json.dumps(body or {}),
        request_timeout=120,
    )
    answer = await AsyncHTTPClient().fetch(request)
    return json.loads(answer.body or b"null")


async def learner(address: str, token: str, name: str, cells: list[str]) -> dict[str, Any]:
    """One learner's lesson: server, kernel, every cell; what it took."""
    begun = time.monotonic()
    await ask(address, token, "POST", f"/hub/api/users/{name}/server")
    while not (await ask(address, token, "GET", f"/hub/api/users/{name}"))["servers"][""]["ready"]:
        await asyncio.sleep(0.5)
    started = time.monotonic()
    kernel = await ask(address, token, "POST", f"/user/{name}/api/kernels", {"name": "python3"})
    where = f"{address.replace('http', 'ws')}/user/{name}/api/kernels/{kernel['id']}/channels"
    socket = await websocket_connect(
        HTTPRequest(where, headers={"Authorization": f"token {token}"}),
        max_message_size=200_000_000,
    )
    problems = []
    for number, source in enumerate(cells):
        problem, _ = await execute(socket, source)
        problems += [f"{name}, code cell {number}: {problem}"] if problem else []
    cells_s = round(time.monotonic() - started)
    _, measured = await execute(socket, MEASURE)
    socket.close()
    return {**json.loads(measured), "server_s": round(started - begun), "cells_s": cells_s,
            "problems": problems}  # fmt: skip


async def execute(socket: Any, source: str) -> tuple[str, str]:
    """Runs one cell in a kernel; what it raised, and what it printed."""
    number = uuid4().hex
    header = {"msg_id": number, "msg_type": "execute_request", "session": "lesson",
              "username": "", "version": "5.3"}  # fmt: skip
    content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content,
               "channel": "shell"}  # fmt: skip
    await socket.write_message(json.dumps(message))
    problem, printed = "", ""
    while True:
        text = await asyncio.wait_for(socket.read_message(), PATIENCE)
        if text is None:
            return "the kernel or its server died", printed
        heard = json.loads(text if isinstance(text, str) else without_buffers(text))
        if heard["parent_header"].get("msg_id") != number:
            continue
        kind, said = heard["msg_type"], heard["content"]
        if kind == "stream" and said["name"] == "stdout":
            printed += said["text"]
        elif kind == "error":
            problem = f"{said['ename']}: {said['evalue']}"
        elif kind == "status" and said["execution_state"] == "idle":
            return problem, printed


def without_buffers(message: bytes) -> bytes:
    """The JSON of a message with buffers: their number, where each begins, JSON, buffers."""
    count = int.from_bytes(message[:4], "big")
    begins = [int.from_bytes(message[4 * i : 4 * i + 4], "big") for i in range(1, count + 1)]
    return message[begins[0] : begins[1] if count > 1 else None]


def code_cells(chapter: str) -> list[str]:
    """Of the solved notebook, so that checks have something to check."""
    notebook = json.loads((source_dir("solutions") / f"{chapter}.ipynb").read_text("utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


if __name__ == "__main__":
    main()
