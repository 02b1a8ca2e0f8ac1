"""The keeper: a shell loop of a few lines that runs the daemon, and runs it again when it dies.

It is what systemd would be, for a daemon that the command line started. Constant text; its own session; no input; its
output and the daemon's go to `logs/daemon.log`. It ends when the daemon ends with 0 (asked to stop) or 3 (another
daemon holds the home); when the very first start fails by itself: what can never start is not tried for ever; and when
the home is gone, moved perhaps: a daemon in a new, empty one would end what the home's instances are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Mapping

from fairlead.cli.processes import KEEPER
from fairlead.cli.record import secret_names
from fairlead.core.layout import Layout
from fairlead.errors import StoreError

# $1 is the interpreter, $2 a word for the first start only, or nothing. `'daemon'` has quotes so that whoever looks for
# "fairlead daemon" in the list of processes finds the daemon alone. Status 128 and above: killed by a signal. Bursts of
# deaths are slowed to two a second.
TEXT = """\
first=yes
while :; do
  read -r began rest </proc/uptime
  "$1" -P -m fairlead 'daemon' ${first:+$2}
  status=$?
  case $status in 0|3) exit "$status" ;; esac
  [ -d "$FAIRLEAD_HOME" ] || { echo "keeper: $FAIRLEAD_HOME is gone" >&2; exit 1; }
  read -r ended rest </proc/uptime
  if [ $((${ended%%.*} - ${began%%.*})) -lt 5 ]; then
    if [ "$first" ] && [ "$status" -lt 128 ]; then exit "$status"; fi
    sleep 0.5
  fi
  first=
  echo "keeper: the daemon ended with status $status and is started again" >&2
done
"""

MARKS = ("FAIRLEAD_RUN", "FAIRLEAD_INSTANCE", "FAIRLEAD_RESOURCE")
"""By which instances and resources are found: a daemon that inherited one would end itself as a stray."""


def start(
    layout: Layout, python: str, environment: Mapping[str, str], *, take_over: int = 0
) -> subprocess.Popen[bytes]:
    """Start the keeper of a home, which starts the daemon with `python`. The home's folder and log are made if need be.

    take_over: seconds in which a daemon that runs now may let go of the home; the new one waits for it.
    It goes on when the caller ends. StoreError: the home cannot be written, or is another user's.
    """
    # What is kept as a secret of some stack, the daemon has from the vault.
    left_out = {*MARKS, *secret_names(layout.database)}
    inherited = {name: value for name, value in environment.items() if name not in left_out}
    try:
        _make_folders(layout)
        with open(layout.daemon_log, "ab", opener=_private) as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", TEXT, KEEPER, python, f"--take-over={take_over}" if take_over else ""],
                env={**inherited, "FAIRLEAD_HOME": layout.home},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        why = f"{error.filename or layout.home}: {error.strerror}"
        raise StoreError("the home cannot be written", why, _remedy(error)) from error


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "Make room on its disk."
        case errno.EROFS:
            return "Mount its file system writable again, or choose another folder with --home."
    return "Choose another folder with --home."


def end(keeper: subprocess.Popen[bytes]) -> None:
    """End a keeper whose daemon never answered, and that daemon: both are in the keeper's own process group."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(keeper.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            keeper.wait(timeout=2.0)


def _make_folders(layout: Layout) -> None:
    # As root everything could be written, and what is root's would then be in the way of the home's owner.
    if os.path.isdir(layout.home) and (owner := os.stat(layout.home).st_uid) != os.geteuid():
        raise StoreError(
            f"the home {layout.home} cannot be used",
            f"it belongs to user {owner}, and this is user {os.geteuid()}",
            "Run the command as that user, or choose another folder with --home.",
        )
    os.makedirs(os.path.dirname(layout.home), exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # As root, instances of another user must be able to pass through (DESIGN section 8).
        mode = 0o711 if os.geteuid() == 0 else 0o700
        os.mkdir(layout.home, mode)
        os.chmod(layout.home, mode)
    os.makedirs(os.path.dirname(layout.daemon_log), mode=0o700, exist_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
