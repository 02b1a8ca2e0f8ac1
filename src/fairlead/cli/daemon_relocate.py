"""`fairlead daemon relocate`: a home that was moved stays where it is now, and its stacks are built again."""

from __future__ import annotations

import os
import shutil
from glob import escape, glob

import click

from fairlead.cli import output
from fairlead.cli.options import home_option
from fairlead.cli.processes import processes_of
from fairlead.cli.record import place
from fairlead.cli.session import Session
from fairlead.errors import UsageError


@click.command("relocate", short_help="Stay in a home that was moved; stacks are built again.")
@home_option
@click.pass_obj
def command(session: Session) -> int:
    """For a home whose folder was moved and cannot be moved back: releases and environments hold the old path, so they
    are removed, and each stack is brought up again by `fairlead up`. Events and logs stay, and numbers go on.

    \b
    Examples:
      fairlead daemon relocate --home /srv/fairlead

    \b
    Exit status:
      0    the home is at home where it is now
      1    the home cannot be written
      2    there is no home, or something still runs at its old place
      3    its daemon runs
    """
    layout = session.layout
    if not os.path.exists(layout.database):
        raise UsageError(f"there is no home at {layout.home}", "it has no database", "Name one with --home.")
    before = place(layout.database)
    if before and before != layout.home and (left := processes_of(before)):
        raise UsageError(
            "what ran at the home's old place still runs",
            ", ".join(map(str, left)),
            f"Move it back (`mv {layout.home} {before}`), or end that: `fairlead down --all --home {before}`.",
        )
    from fairlead.store.database import Store
    from fairlead.store.home import lock_home

    home = lock_home(layout)
    try:
        store = Store.open(layout.database)
        try:
            files = store.accept_place(layout.home)
        finally:
            store.close()
        # Forgotten first, then removed: what a crash leaves in between is only in the way of nobody.
        releases = glob(f"{escape(layout.home)}/stacks/*/releases")
        for folder in (layout.environments, layout.servers, *releases, layout.run):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        home.close()
    output.note(f"this home is at {output.cell(layout.home)}; what was built at its old place is removed")
    if files:
        output.next_commands(*(f"fairlead up {output.word(os.path.dirname(path))}" for path in files))
    return 0
