"""Where one node keeps its files, and what it records of each HAProxy that it started.

Each start is a *generation*, numbered upwards, with names of its own, since a start by mistake or a failed one would
replace a shared runtime socket (haproxy.md section 1.5):

    haproxy.N.cfg    configuration; always holds the present membership
    haproxy.N.sock   runtime socket
    haproxy.N.pid    written by HAProxy; nobody trusts it
    haproxy.N.lend   where its listening sockets wait for it during its start
    haproxy.N.log    what it says while it runs; haproxy.N.said: how much of that is in the log (`diary`)
    haproxy.N.json   who it is: pid, start time, boot, program; whether it is leaving
    state            the servers' states, for the next generation
    relay            the secret by which one knows what another passes on (`relay`)
    tls/             certificates with their keys, and lists of them (`tls`)
    maps/            tables of rules (`maps`); each generation reads its own at its start

The law: a record is written after the process runs and removed after it is gone, so whatever a record misses is found
by the kernel's list of processes.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from fairlead.aiokit.atomic import write_atomically
from fairlead.aiokit.pidfd import Identity, identity_of
from fairlead.haproxy.program import Program

_NAME = re.compile(r"haproxy\.([1-9][0-9]{0,8})\.(?:cfg|sock|pid|lend|log|said|json)")


@dataclass(frozen=True, slots=True)
class Known:
    """A HAProxy of ours as recorded, or as found among the processes (then nothing is known of its program)."""

    generation: int
    identity: Identity
    program: Program | None = None
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    """The names in `folder` (absolute)."""

    folder: str

    def configuration(self, generation: int) -> str:
        return f"{self.folder}/haproxy.{generation}.cfg"

    def runtime_socket(self, generation: int) -> str:
        return f"{self.folder}/haproxy.{generation}.sock"

    def pidfile(self, generation: int) -> str:
        return f"{self.folder}/haproxy.{generation}.pid"

    def lending(self, generation: int) -> str:
        return f"{self.folder}/haproxy.{generation}.lend"

    def log(self, generation: int) -> str:
        return f"{self.folder}/haproxy.{generation}.log"

    def copied(self, generation: int) -> str:
        return f"{self.folder}/haproxy.{generation}.said"

    @property
    def state(self) -> str:
        return f"{self.folder}/state"

    @property
    def tls(self) -> str:
        return f"{self.folder}/tls"

    @property
    def maps(self) -> str:
        return f"{self.folder}/maps"

    def _record(self, generation: int) -> str:
        return f"{self.folder}/haproxy.{generation}.json"

    def prepare(self) -> None:
        """Make the folder, 0700, and the state file that every configuration names. OSError."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        os.chmod(self.folder, 0o700)
        os.close(os.open(self.state, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    def secret(self) -> str:
        """What one HAProxy of this folder knows another by; made once. OSError."""
        path = f"{self.folder}/relay"
        with suppress(FileNotFoundError), open(path, encoding="ascii") as file:
            if found := file.read().strip():
                return found
        made = secrets.token_urlsafe(24)
        self.prepare()
        self.write(path, made)
        return made

    def generations(self) -> set[int]:
        """Every generation that has left a file here."""
        found = set()
        with suppress(FileNotFoundError):
            found = {int(match[1]) for name in os.listdir(self.folder) if (match := _NAME.fullmatch(name))}
        return found

    def remove(self, generation: int) -> None:
        """Remove what a generation left, once its process is gone."""
        for ending in ("cfg", "sock", "pid", "lend", "log", "said", "json"):
            with suppress(OSError):
                os.unlink(f"{self.folder}/haproxy.{generation}.{ending}")

    def open_log(self, generation: int) -> int:
        """A descriptor for the generation to write its log to, or -1: it can do without."""
        try:
            return os.open(self.log(generation), os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError:
            return -1

    def write(self, path: str, text: str) -> None:
        """Replace one of them; not flushed, since no HAProxy outlives the machine. Blocks; OSError."""
        write_atomically(path, text, durable=False)

    def write_maps(self, texts: Mapping[str, str]) -> None:
        """Write those that do not lie there as they are, by name. Blocks; OSError."""
        if texts:
            os.makedirs(self.maps, mode=0o700, exist_ok=True)
        for name, text in texts.items():
            path = f"{self.maps}/{name}"
            # A crash of the machine may have left an empty one.
            if _content(path) != text:
                self.write(path, text)

    def keep_maps(self, names: Collection[str]) -> None:
        """Remove all others, and what a killed daemon had begun to write."""
        with suppress(OSError):
            for name in os.listdir(self.maps):
                if name not in names:
                    os.unlink(f"{self.maps}/{name}")

    def record(self, known: Known) -> None:
        """Write down who a generation is. OSError."""
        self.write(self._record(known.generation), json.dumps(asdict(known)))

    def recall(self, generation: int) -> Known | None:
        """What was written down, or None; a torn or foreign record counts as none."""
        try:
            with open(self._record(generation), encoding="utf-8") as file:
                fields = json.load(file)
            program = fields["program"]
            return Known(
                generation,
                Identity(**fields["identity"]),
                Program(**program) if program else None,
                bool(fields["leaving"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def read_configuration(self, generation: int) -> str:
        """The configuration as it lies there, or ""."""
        return _content(self.configuration(generation))

    def running(self) -> dict[int, Known]:
        """Every HAProxy of this folder that lives: those recorded, and those that only the kernel knows."""
        living = {}
        for generation, pid in self._by_command_line():
            identity = identity_of(pid)
            if identity is not None:
                known = self.recall(generation)
                agrees = known is not None and known.identity == identity
                living[generation] = known if known is not None and agrees else Known(generation, identity)
        return living

    def _by_command_line(self) -> list[tuple[int, int]]:
        """(generation, pid) of each process that was started to borrow its sockets from this folder."""
        lent = re.compile(re.escape(self.folder) + r"/haproxy\.([1-9][0-9]{0,8})\.lend")
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = os.fsdecode(file.read()).split("\0")
            except OSError:
                continue
            if "-x" in words[:-1] and (match := lent.fullmatch(words[words.index("-x") + 1])):
                found.append((int(match[1]), int(entry)))
        return found


def _content(path: str) -> str:
    """The text that lies there, or ""."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
