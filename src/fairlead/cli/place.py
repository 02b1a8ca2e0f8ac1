"""Becoming a program in a service's release: its folder, its environment, its user, and nothing of ours.

In: the daemon's `entry` (a folder, an environment that holds secrets, perhaps a user) and the user's words. Out: this
process is that program, or an error in a shell's manner (127 not found, 126 cannot be run). The law: nothing of the
environment is printed or put on a command line; a program that is not root's is never begun as root. `exec` and `run`
call this last; what they say, they say before.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from fairlead.cli import output
from fairlead.cli.keystrokes import forbid_forged_keystrokes
from fairlead.core.layout import Layout
from fairlead.errors import FairleadError, UsageError

NOT_FOUND, NOT_RUN = 127, 126
"""Exit statuses of a shell for a program that is not there, and for one that cannot be run."""

SHELL = ("/bin/sh",)
"""What is run when the user gave no words. Bash is taken instead where the machine has it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program is to run. user: (uid, gid) to become first; None: it stays ours."""

    environment: Mapping[str, str]
    folder: str
    user: tuple[int, int] | None

    def with_home(self, folder: str) -> Place:
        return replace(self, environment={**self.environment, "HOME": folder})

    def without(self, name: str) -> Place:
        return replace(self, environment={key: value for key, value in self.environment.items() if key != name})


def place_of(entry: Mapping[str, Any], layout: Layout) -> Place:
    """The place that the daemon describes. Root who asks another user's daemon becomes that user, whatever it says."""
    user = (int(entry["user"][0]), int(entry["user"][1])) if entry.get("user") else None
    if os.geteuid() != 0:
        user = None
    elif (owner := os.stat(layout.api_socket)).st_uid != 0:
        user = (owner.st_uid, owner.st_gid)
    environment = {str(name): str(value) for name, value in entry["environment"].items()}
    # The one thing that only who sits at the terminal knows; without it no editor or pager works.
    if "TERM" not in environment and "TERM" in os.environ and os.isatty(0):
        environment["TERM"] = os.environ["TERM"]
    return Place(environment, str(entry["working_folder"]), user)


def words_or_shell(words: tuple[str, ...]) -> tuple[str, ...]:
    """The user's words without the `--` before them; a shell when there are none.

    UsageError: they begin with an option, which was meant for fairlead.
    """
    if words and words[0].startswith("-") and words[0] != "--":
        raise UsageError(
            f"{words[0]} stands where COMMAND begins",
            "what follows the name is COMMAND's",
            "Put options of fairlead before the name; a COMMAND that begins with a dash goes behind `--`.",
        )
    given = words[1:] if words[:1] == ("--",) else words
    if given:
        return given
    return ("/bin/bash",) if os.access("/bin/bash", os.X_OK) else SHELL


def become(place: Place, words: tuple[str, ...]) -> NoReturn:
    """Turn into the program. FairleadError, with a shell's exit status, when that is not possible; we may then be
    another user already."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores these, and what is ignored stays so in the program: `fairlead exec web-1 yes | head` would not end.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if place.user is not None:
        try:
            _drop(*place.user)
        except OSError as error:
            raise _cannot_begin(f"user {place.user[0]} cannot be become", error.strerror or "", NOT_RUN) from error
    # As the engine starts instances: what they make is theirs, and as root the balancer's, whose group reads it.
    os.umask(0o007 if place.user is not None else 0o077)
    try:
        os.chdir(place.folder)
    except OSError as error:
        raise _cannot_begin(f"{place.folder} cannot be entered", error.strerror or "", NOT_RUN) from error
    try:
        os.execvpe(words[0], list(words), dict(place.environment))  # noqa: S606 (no shell is wanted)
    except (OSError, ValueError) as error:
        raise _not_begun(words[0], place, error) from error


def begin_or_say(place: Place, words: tuple[str, ...]) -> NoReturn:
    """As `become`, in a process of its own: an error is printed here, and ends it."""
    status = 1
    try:
        become(place, words)
    except FairleadError as error:
        output.error(error)
        status = error.exit_status
    finally:
        sys.stderr.flush()
        os._exit(status)


def _drop(uid: int, gid: int) -> None:
    """Leave root for good: groups, then group, then user; no new privileges; no open file but the three."""
    forbid_forged_keystrokes()
    for number in map(int, os.listdir("/proc/self/fd")):
        # What root's shell left open here would be theirs; the listing's own is closed already.
        with contextlib.suppress(OSError):
            os.set_inheritable(number, number <= 2)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _cannot_begin(what: str, why: str, status: int) -> FairleadError:
    error = FairleadError(what, why)
    error.exit_status = status
    return error


def _not_begun(program: str, place: Place, error: OSError | ValueError) -> FairleadError:
    name = output.cell(program)
    if isinstance(error, ValueError):
        return _cannot_begin(f"{name!r} cannot be run", str(error), NOT_RUN)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if "/" in program and os.path.exists(program):
            return _cannot_begin(f"{name} cannot be run", "the program that its first line names is not there", NOT_RUN)
        where = f"it is not in {place.environment.get('PATH', '')}" if "/" not in program else ""
        return _cannot_begin(f"{name}: not found", where, NOT_FOUND)
    if isinstance(error, PermissionError) and "/" not in program and not _exists_on_path(program, place):
        return _cannot_begin(f"{name}: not found", f"it is not in {place.environment.get('PATH', '')}", NOT_FOUND)
    return _cannot_begin(f"{name} cannot be run", error.strerror or str(error), NOT_RUN)


def _exists_on_path(program: str, place: Place) -> bool:
    """Whether a file of that name is in PATH at all: a folder of it that may not be entered is `not permitted` too."""
    for folder in place.environment.get("PATH", "").split(":"):
        try:
            if stat.S_ISREG(os.stat(os.path.join(folder, program)).st_mode):
                return True
        except OSError:
            continue
    return False
