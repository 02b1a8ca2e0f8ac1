"""A home with a real daemon in it, as the stories use it: the real command line, as root or as a plain user."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairlead.api.client import Client
from fairlead.core.layout import layout_of
from fairlead.errors import DaemonUnavailable

from ..ports import a_free_port

DEADLINE = 60.0
"""Seconds until what must happen has happened, on a machine that does other things: no measure of how quick it is."""

FAIRLEAD = "fairlead"


class House:
    """One FAIRLEAD_HOME. `prefix`: words that turn a command into another user's."""

    def __init__(self, program: str, *, prefix: tuple[str, ...] = (), owner: tuple[int, int] | None = None) -> None:
        self.program, self.prefix, self.owner = program, prefix, owner
        self.folder = Path(tempfile.mkdtemp(prefix="fl-"))
        self.folder.chmod(0o711)
        if owner:
            os.chown(self.folder, *owner)
        self.home = self.folder / "home"
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "FAIRLEAD_HOME": str(self.home),
            **{name: value for name, value in os.environ.items() if name.startswith(("SSL_", "UV_", "PIP_"))},
        }
        self.environment.pop("UV_PROJECT_ENVIRONMENT", None)

    # The command line

    def command(self, *words: str) -> list[str]:
        return [*self.prefix, self.program, *words]

    def run(
        self, *words: str, timeout: float = 120.0, check: bool = True, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `fairlead WORDS` to its end; AssertionError, with all it printed, when `check` and it failed."""
        done = subprocess.run(
            self.command(*words),
            env={**self.environment, **extra},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check:
            assert done.returncode == 0, f"fairlead {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    async def do(self, *words: str, timeout: float = 120.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`run`, while the load goes on."""
        return await asyncio.to_thread(self.run, *words, timeout=timeout, check=check)

    def status(self, stack: str | None = None) -> dict[str, Any]:
        """What `fairlead status --json` says. Stories ask many times a second: a daemon that answers is asked without a
        program for each time, and with one, which starts or awaits a daemon, when none does."""
        user = self.owner[0] if self.owner else os.getuid()
        try:
            return Client(layout_of(os.path.realpath(self.home), user).api_socket).status(stack)
        except DaemonUnavailable:
            words = [stack] if stack else []
            found: dict[str, Any] = json.loads(self.run("status", "--json", *words).stdout)
            return found

    def instances(self, stack: str) -> list[dict[str, Any]]:
        """Of the stack's first service, but for their figures, which are others every second; [] when it is not up."""
        for found in self.status()["stacks"]:
            if found["name"] == stack:
                instances = found["services"][0]["instances"]
                return [{key: value for key, value in one.items() if key != "figures"} for one in instances]
        return []

    def healthy(self, stack: str) -> list[dict[str, Any]]:
        """One that was just killed is healthy until the load balancer has noticed."""
        return [one for one in self.instances(stack) if one["health"] == "healthy" and (one["pid"] or not one["runs"])]

    async def until(self, what: str, question: Callable[[], Any], timeout: float = DEADLINE) -> Any:
        """Ask until the answer is true; AssertionError says what was awaited, how long, and what was last seen."""
        deadline = time.monotonic() + timeout
        while True:
            answer = await asyncio.to_thread(question)
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout:g} s for {what}; last: {answer!r}\n{self.evidence()}")
            await asyncio.sleep(0.05)

    def evidence(self) -> str:
        """What a failed story leaves to read."""
        events = self.run("events", "--limit", "40", check=False).stdout
        log = self.home / "logs" / "daemon.log"
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:]) if log.exists() else "no daemon.log"
        return f"--- events\n{events}\n--- daemon.log\n{tail}"

    # Stacks

    def a_stack(self, name: str, *, app: str, settings: str = "", instances: int = 2, command: str = "") -> Path:
        """A folder with `app.py` and a fairlead.yaml, readable by whoever runs the daemon; its path."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        self.write(folder / "app.py", textwrap.dedent(app))
        program = f"command: {command}" if command else 'app: "app:app"'
        lines = [f"name: {name}", "services:", "  web:", f"    {program}", f"    instances: {instances}"]
        lines += [f"    {line}" for line in textwrap.dedent(settings).strip().splitlines()]
        lines += ["load_balancer:", "  listeners:", f"    - {{port: {self.port(name)}, default: {{forward: web}}}}"]
        self.write(folder / "fairlead.yaml", "\n".join(lines) + "\n")
        return folder

    def write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o644)
        path.parent.chmod(0o755)
        if self.owner:
            os.chown(path, *self.owner)
            os.chown(path.parent, *self.owner)

    def edit(self, folder: Path, before: str, after: str, name: str = "fairlead.yaml") -> None:
        text = (folder / name).read_text()
        assert before in text, f"{before!r} is not in {name}"
        self.write(folder / name, text.replace(before, after))

    def port(self, stack: str) -> int:
        ports = self.__dict__.setdefault("_ports", {})
        if stack not in ports:
            ports[stack] = a_free_port()
        return int(ports[stack])

    def url(self, stack: str, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port(stack)}{path}"

    # What is there

    def processes(self) -> dict[int, str]:
        """Every living process whose environment names this home: pid and command line."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.home).encode() in environment and state not in (b"Z", b"X"):
                found[int(entry.name)] = words.strip()
        return found

    def kill_all(self) -> None:
        """As a power cut does. The keeper first, or it would start the daemon again; and whoever was just starting."""
        deadline = time.monotonic() + DEADLINE
        while there := self.processes():
            assert time.monotonic() < deadline, f"still there: {there}"
            for pid in sorted(there, key=lambda pid: "fairlead-keeper" not in there[pid]):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def daemon_pid(self) -> int | None:
        daemon = self.status()["daemon"]
        return int(daemon["pid"]) if daemon else None

    def balancer_pid(self) -> int | None:
        nodes = self.status()["balancer"]["nodes"]
        return nodes[0]["pid"] if nodes else None

    def close(self) -> None:
        """Everything ends, whatever a story left; a process that survives `down --all` is a defect and is named."""
        done = self.run("down", "--all", check=False)
        left = self.processes()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert done.returncode == 0, done.stderr
        assert not left, f"`fairlead down --all` left {left}"


def group_of(pid: int) -> int:
    """The process group, which an instance's launcher leads."""
    return os.getpgid(pid)
