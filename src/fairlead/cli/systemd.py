"""systemd as the command line meets it: where units lie, whether it runs here, and the few things asked of `systemctl`.

Everything that looks at the machine is here, and everything said to it: an argument list, never a shell. The unit's
text is `unit`'s. Tests give another folder and another `systemctl`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from fairlead.cli import unit as units
from fairlead.errors import FairleadError, UsageError

PATIENCE = 90.0
"""Seconds for one `systemctl`: a restart waits until the old daemon has gone."""

PROGRAMS = "/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Systemd:
    """One manager: the system's, or the user's own. `folder`: where its units are written."""

    user: bool
    folder: str
    systemctl: str | None
    running: bool
    """Whether this manager can be asked: systemd is PID 1 and, for a user's, that user's manager runs."""

    @property
    def path(self) -> str:
        return f"{self.folder}/{units.NAME}"

    @property
    def command(self) -> str:
        """How a person calls it."""
        return "systemctl --user" if self.user else "systemctl"

    def read(self) -> str | None:
        """The unit's text, None when there is none. FairleadError: it cannot be read."""
        try:
            with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FairleadError(f"{self.path} cannot be read", error.strerror or str(error)) from error

    def write(self, text: str) -> None:
        """Replace the unit, whole or not at all."""
        try:
            os.makedirs(self.folder, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=f".{units.NAME}.", dir=self.folder)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    os.fchmod(file.fileno(), 0o644)
                os.replace(temporary, self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise _unwritable(self, error) from error

    def remove(self) -> None:
        try:
            os.unlink(self.path)
        except OSError as error:
            raise _unwritable(self, error) from error

    def ask(self, *words: str) -> str:
        """Run `systemctl WORDS`; what it printed. FairleadError with its own words when it failed."""
        line = f"{self.command} {' '.join(words)}"
        if self.systemctl is None:
            raise FairleadError(f"`{line}` cannot be run", "there is no systemctl", "Install systemd.")
        try:
            done = subprocess.run(
                [self.systemctl, *(["--user"] if self.user else []), *words],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
                check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FairleadError(f"`{line}` failed", str(error), "Run it yourself, and see `journalctl -xe`.") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise FairleadError(f"`{line}` failed", f"status {done.returncode}", f"See {self.journal}.", detail=said)
        return done.stdout

    @property
    def journal(self) -> str:
        return f"`journalctl {'--user ' if self.user else ''}-u fairlead`"


def manager(*, user: bool) -> Systemd:
    """The manager of this machine, or of this user. UsageError: this user cannot have it."""
    systemctl = shutil.which("systemctl", path=PROGRAMS)
    booted = os.path.isdir("/run/systemd/system")
    if not user:
        return Systemd(False, "/etc/systemd/system", systemctl, booted and systemctl is not None)
    configuration = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    private = os.path.exists(f"{runtime}/systemd/private")
    return Systemd(True, f"{configuration}/systemd/user", systemctl, booted and private and systemctl is not None)


def keeping(home: str) -> Systemd | None:
    """The manager that runs and has a unit of ours for `home`: the one that should start its daemon. None: neither."""
    for user in (False,) if os.geteuid() == 0 else (True,):
        found = manager(user=user)
        if found.running and units.home_of(found.read() or "") == home:
            return found
    return None


def _unwritable(systemd: Systemd, error: OSError) -> UsageError:
    return UsageError(
        f"{systemd.path} cannot be written",
        error.strerror or str(error),
        "Run the command as root, or with --user for a unit of your own.",
    )
