"""The tiny shell program that leads the process group of an instance or a server, and how it is started.

In: a folder, the words of a program, its environment, its working folder, perhaps another user. Out: a session of its
own in which the shim waits for the program and writes into the folder

    shim    pid, start time and boot of the shim itself, written first and by hard link, so only one shim ever owns it
    pid     the program's own pid, written by the process that then becomes the program
    exit    how the program ended, as `$?` shows it: 128 + n for signal n, 127 not found, 126 not executable

The law: the texts are constant. The program's words arrive as "$@"; its variables arrive under names of ours and take
their own only in the last process before the program, which is already the program's user: a shell silently drops
names it cannot spell, and LD_PRELOAD of an app must not reach a shim that is root. The program runs in the foreground
of the shim, because `&` would start it deaf to SIGINT; what a shell says of its death ("Killed") is no line of its log.
Why a shell: an instance costs 0.2 MB, the exit status survives the daemon, and there is nothing to upgrade (local.md
3.2). Called by the launcher only.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from fairlead.core.secrets import SHELLS_OWN

_SHIM = r"""
d=$1; n=$2; m=$3; o=$4; shift 4; cd /; umask "$m"
{ ulimit -S -n "$n"; echo "$o" >/proc/self/oom_score_adj; } 2>/dev/null
read -r a </proc/self/stat; read -r b </proc/sys/kernel/random/boot_id
(set -- ${a##*) }; echo "$$ ${20} $b") >"$d/shim.$$" && ln "$d/shim.$$" "$d/shim" && rm -f "$d/shim.$$" || exit 125
trap : HUP INT QUIT PIPE ALRM TERM USR1 USR2
exec 3>&2 2>/dev/null
/bin/sh -c 'exec 2>&3 3>&-; echo "$$" >"$0/pid.tmp" && mv "$0/pid.tmp" "$0/pid" && exec "$@"' "$d" "$@"
s=$?; echo "$s" >"$d/exit.tmp" && mv "$d/exit.tmp" "$d/exit"; exit "$s"
"""

# Builds, from the front: the variables to export, an empty word, perhaps `env` with those that no shell can export
# (`nice` ends its reading of NAME=VALUE words), the program. Then exports up to the empty word, and becomes the rest.
_ENTER = r"""
cd "$FAIRLEAD_CWD" || exit 126
i=$FAIRLEAD_ODD
if [ "$i" -gt 0 ]; then set -- /usr/bin/nice -n 0 -- "$@"; fi
while [ "$i" -gt 0 ]; do eval "set -- \"\$FAIRLEAD_O$i\" \"\$@\"; unset FAIRLEAD_O$i"; i=$((i-1)); done
if [ "$FAIRLEAD_ODD" -gt 0 ]; then set -- /usr/bin/env "$@"; fi
i=$FAIRLEAD_EVEN
set -- "" "$@"
while [ "$i" -gt 0 ]; do eval "set -- \"\$FAIRLEAD_E$i\" \"\$@\"; unset FAIRLEAD_E$i"; i=$((i-1)); done
unset FAIRLEAD_CWD FAIRLEAD_ODD FAIRLEAD_EVEN PATH PWD OLDPWD i
while [ -n "$1" ]; do export "$1"; shift; done
shift
exec "$@"
"""

_CLEAN_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""What the shim finds `ln`, `mv` and `rm` with: never the program's own PATH."""

_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a shim starts.

    environment: the whole of it. user: (uid, gid) to become, without other groups and without new privileges, or None.
    umask: of the program and all it makes. open_files: its soft limit. log: the file that its output is appended to.
    name: what its shim is called in `ps`. oom: how much sooner than others the kernel ends it when memory is short, up
    to 1000.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    working_folder: str
    user: tuple[int, int] | None
    umask: int
    open_files: int
    log: str
    name: str
    oom: int


def spawn(folder: str, marker: str, program: Program, setpriv: str) -> int:
    """Start a shim that records in `folder`; its pid.

    marker: the variable that holds `folder` in the environment of the shim and of all that comes from it. setpriv: the
    path of that program (used when `program.user` is set). OSError or ValueError when the kernel takes no such program.
    """
    log = os.open(program.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        before: tuple[str, ...] = ()
        if program.user is not None:
            uid, gid = program.user
            # Its own, so that a program may open /dev/stdout again; the folder around it is not its own.
            os.fchown(log, uid, gid)
            before = (setpriv, "--reuid", str(uid), "--regid", str(gid), "--clear-groups", "--no-new-privs", "--")
        numbers = (str(program.open_files), f"{program.umask:03o}", str(program.oom))
        words = [
            "/bin/sh", "-c", _SHIM, program.name, folder, *numbers,
            *before, "/bin/sh", "-c", _ENTER, "fairlead", *program.argv,
        ]  # fmt: skip
        return os.posix_spawn(
            "/bin/sh",
            words,
            _shim_environment(folder, marker, program),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inheritable()),
            ],
            setsid=True,
            setsigmask=(),
            # A signal that the caller ignores would stay ignored in every program.
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    finally:
        os.close(log)


def _shim_environment(folder: str, marker: str, program: Program) -> dict[str, str]:
    """The shim's own variables, with the program's packed under numbered names (see `_ENTER`)."""
    wanted = {**program.environment, marker: folder}
    for name in wanted:
        if not name or "=" in name or "\0" in name:
            raise ValueError(f"{name!r} cannot be the name of an environment variable")
    even = [name for name in wanted if _SHELL_NAME.match(name) and name not in SHELLS_OWN]
    odd = [name for name in wanted if name not in even]
    return {
        "PATH": _CLEAN_PATH,
        marker: folder,
        "FAIRLEAD_CWD": program.working_folder,
        "FAIRLEAD_EVEN": str(len(even)),
        "FAIRLEAD_ODD": str(len(odd)),
        **{f"FAIRLEAD_E{number}": f"{name}={wanted[name]}" for number, name in enumerate(even, 1)},
        **{f"FAIRLEAD_O{number}": f"{name}={wanted[name]}" for number, name in enumerate(odd, 1)},
    }


def _inheritable() -> list[int]:
    """Descriptors that somebody left open for children: an instance must hold none of the daemon's sockets."""
    found = []
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if int(entry) > 2 and os.get_inheritable(int(entry)):
                found.append(int(entry))
    return found
