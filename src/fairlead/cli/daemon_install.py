"""`fairlead daemon install`: systemd keeps the daemon, from the next boot on, or from now on with --now."""

from __future__ import annotations

import contextlib
import os
import pwd
import sys
import time
from typing import Any

import click

from fairlead.api.client import Client
from fairlead.cli import handover, output, systemd, unit
from fairlead.cli.options import home_option
from fairlead.cli.running import look
from fairlead.cli.session import Session
from fairlead.errors import DaemonUnavailable, FairleadError, UsageError

CACHES = ("/.cache/uv/", "/uv/archive-v0/", "/pipx/.cache/", "/.local/pipx/.cache/")
"""Where `uvx` and `pipx run` put programs that may be gone tomorrow."""

LOWEST_PORT = 80
"""The port that a web service wants to have."""

STATUSES = """\b
Exit status:
  0    the unit is there (and with --now systemd keeps the daemon)
  1    systemd could not do it; its own words are shown
  2    it is not possible: another unit of that name, a folder that may not be written
"""


@click.command("install", short_help="Let systemd keep the daemon.", epilog=STATUSES)
@click.option("--user/--system", "user", default=None, help="The user's own systemd, or the system's. Default: the "
              "system's as root, else the user's.")  # fmt: skip
@click.option("--print", "only_print", is_flag=True, help="Print the unit on stdout and write nothing.")
@click.option("--now", is_flag=True, help="Start it too: it takes over from a daemon that runs, and what runs goes on.")
@home_option
@click.pass_obj
def command(session: Session, user: bool | None, only_print: bool, now: bool) -> int:
    """Write a systemd unit that keeps the daemon of this home: /etc/systemd/system/fairlead.service as root, else
    ~/.config/systemd/user/fairlead.service. systemd starts the daemon at boot, and again whenever it dies; HAProxy and
    the instances outlive it. A unit that fairlead did not write is never replaced.

    \b
    Examples:
      sudo fairlead daemon install --now
      fairlead daemon install --user --print
    """
    manager = systemd.manager(user=os.geteuid() != 0 if user is None else user)
    text = unit.render(
        unit.Unit(user=manager.user, python=_python(), home=session.home, environment=unit.carried(dict(os.environ)))
    )
    if only_print:
        output.data(text.rstrip("\n"))
        return 0
    if manager.user is (os.geteuid() == 0) and user is not None:
        _refuse_wrong_user(manager)
    changed = _write(session, manager, text)
    if manager.user:
        _about_a_users_own()
    if now:
        _start(session, manager, changed)
        output.next_commands("fairlead daemon status", "fairlead status")
        return 0
    if _answering(Client(session.layout.api_socket)) is not None:
        output.note("a daemon runs: `fairlead daemon install --now` has systemd's take over, and what runs goes on")
    output.next_commands(f"{manager.command} daemon-reload && {manager.command} enable --now fairlead")
    return 0


def _python() -> str:
    """This interpreter, if it will still be there tomorrow."""
    if any(cache in sys.executable for cache in CACHES):
        raise UsageError(
            "fairlead runs from a cache of its package manager",
            f"{sys.executable} may be gone tomorrow, and systemd would have nothing to start",
            "Install it from its clone first: `pipx install FOLDER`, or `uv tool install FOLDER`.",
        )
    return sys.executable


def _refuse_wrong_user(manager: systemd.Systemd) -> None:
    if manager.user:
        raise UsageError(
            "root has no systemd of its own for this", "", "Use --system, or run the command as an ordinary user."
        )
    raise UsageError(
        "only root can write a unit of the system's",
        f"{manager.folder} is root's",
        f"Run `sudo {sys.executable} -m fairlead daemon install`, or use --user for one of your own.",
    )


def _write(session: Session, manager: systemd.Systemd, text: str) -> bool:
    """Put the unit in place; whether it differs from the one that was there."""
    there = manager.read()
    if there == text:
        output.note(f"{manager.path} is as it should be")
        return False
    if there is not None:
        _refuse_foreign(session, manager, there)
    with contextlib.suppress(FileExistsError):
        # The unit asks for the folder, so that a home that was moved away is not begun anew.
        os.makedirs(os.path.dirname(session.home), exist_ok=True)
        os.mkdir(session.home, 0o711 if os.geteuid() == 0 else 0o700)
    manager.write(text)
    output.note(f"{'changed' if there is not None else 'written'}: {manager.path}")
    return True


def _refuse_foreign(session: Session, manager: systemd.Systemd, there: str) -> None:
    if not unit.is_ours(there):
        raise UsageError(
            f"{manager.path} is left as it is",
            "fairlead did not write it",
            "Remove it, or rename it, then run the command again; `--print` shows what would be written.",
        )
    if (other := unit.home_of(there)) != session.home:
        raise UsageError(
            f"{manager.path} is left as it is",
            f"it keeps the daemon of another home, {other}",
            f"Run `fairlead daemon uninstall --home {other}` first.",
        )


def _about_a_users_own() -> None:
    name = pwd.getpwuid(os.geteuid()).pw_name
    if not os.path.exists(f"/var/lib/systemd/linger/{name}"):
        output.note("without this, systemd ends your services when you log out, and starts none at boot:")
        output.note(f"  loginctl enable-linger {name}")
    lowest = lowest_port()
    if lowest > LOWEST_PORT:
        output.note(f"ports below {lowest} are root's; this opens those from {LOWEST_PORT} on, also after a reboot:")
        output.note(
            f"  echo net.ipv4.ip_unprivileged_port_start={LOWEST_PORT} | sudo tee /etc/sysctl.d/50-fairlead.conf && "
            "sudo sysctl --system"
        )


def lowest_port() -> int:
    """The first port that an ordinary user may listen on."""
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024


def _start(session: Session, manager: systemd.Systemd, changed: bool) -> None:
    """systemd starts the daemon now; one that runs outside of it hands over to it."""
    if not manager.running:
        raise FairleadError(
            "systemd cannot be asked to start it now",
            "it does not run here" if not manager.user else "it does not run here, or not for this user",
            "Where it runs: " + f"{manager.command} daemon-reload && {manager.command} enable --now fairlead",
        )
    client = Client(session.layout.api_socket)
    old = _answering(client)
    kept = look(int(old["pid"])) if old else None
    before = handover.world(client) if old else None
    manager.ask("daemon-reload")
    if kept is not None and kept.kept == "systemd" and kept.unit == unit.NAME:
        manager.ask("enable", unit.NAME)
        if not changed:
            output.note(f"systemd keeps the daemon already (pid {kept.pid})")
            return
        began = time.monotonic()
        manager.ask("restart", unit.NAME)
    else:
        manager.ask("enable", "--now", unit.NAME)
        if old:
            _await_waiting(session, manager)
            began = handover.ask_to_leave(client, session.layout, int(old["pid"]))
    found = handover.await_answer(client, int(old["pid"]) if old else 0)
    output.note(f"systemd keeps the daemon: fairlead {output.cell(found['version'])} (pid {found['pid']})")
    if before:
        output.note(f"{time.monotonic() - began:.2f} s without a daemon")
        for line in handover.compare(before, client):
            output.note(output.cell(line))


def _await_waiting(session: Session, manager: systemd.Systemd) -> None:
    """Until systemd's daemon stands ready for the home."""
    deadline = time.monotonic() + handover.READY
    while not handover.waiting(session.layout):
        if time.monotonic() > deadline:
            raise DaemonUnavailable(
                "systemd's daemon does not start",
                f"none waited for the home within {handover.READY:g} s; the one that runs goes on",
                f"See {manager.journal}.",
            )
        time.sleep(handover.SCAN)


def _answering(client: Client) -> dict[str, Any] | None:
    try:
        return client.version()
    except DaemonUnavailable:
        return None
