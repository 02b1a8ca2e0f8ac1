"""The keeper: a shell loop of a few lines that runs the daemon, and runs it again when it dies.

It is what systemd would be, for a daemon that the command line started. Constant text; its own session; no input; its
output and the daemon's go to `logs/daemon.log`. It ends when the daemon ends with 0 (asked to stop) or 3 (another
daemon holds the home), and when the very first start fails by itself: what can never start is not tried for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping

from fairlead.cli.processes import KEEPER
from fairlead.core.layout import Layout
from fairlead.errors import StoreError

# $1 is the interpreter. `'daemon'` has quotes so that whoever looks for "fairlead daemon" in the list of processes
# finds the daemon alone. Status 128 and above: killed by a signal. Bursts of deaths are slowed to two a second.
TEXT = """\
first=yes
while :; do
  read -r began rest </proc/uptime
  "$1" -P -m fairlead 'daemon'
  status=$?
  case $status in 0|3) exit "$status" ;; esac
  read -r ended rest </proc/uptime
  if [ $((${ended%%.*} - ${began%%.*})) -lt 5 ]; then
    if [ "$first" ] && [ "$status" -lt 128 ]; then exit "$status"; fi
    sleep 0.5
  fi
  first=
  echo "keeper: the daemon ended with status $status and is started again" >&2
done
"""

OF_AN_INSTANCE = ("FAIRLEAD_RUN", "FAIRLEAD_INSTANCE")
"""Marks by which instances are found: a daemon that inherited one would end itself as a stray."""


def start(layout: Layout, python: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the keeper of a home, which starts the daemon with `python`. The home's folder and log are made if need be.

    It goes on when the caller ends. StoreError: the home cannot be written.
    """
    inherited = {name: value for name, value in environment.items() if name not in OF_AN_INSTANCE}
    try:
        _make_folders(layout)
        with open(layout.daemon_log, "ab", opener=_private) as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", TEXT, KEEPER, python],
                env={**inherited, "FAIRLEAD_HOME": layout.home},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        why = f"{error.filename or layout.home}: {error.strerror}"
        raise StoreError("the home cannot be written", why, "Choose another folder with --home.") from error


def end(keeper: subprocess.Popen[bytes]) -> None:
    """End a keeper whose daemon never answered, and that daemon: both are in the keeper's own process group."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(keeper.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            keeper.wait(timeout=2.0)


def _make_folders(layout: Layout) -> None:
    os.makedirs(os.path.dirname(layout.home), exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # As root, instances of another user must be able to pass through (DESIGN section 8).
        mode = 0o711 if os.geteuid() == 0 else 0o700
        os.mkdir(layout.home, mode)
        os.chmod(layout.home, mode)
    os.makedirs(os.path.dirname(layout.daemon_log), mode=0o700, exist_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
