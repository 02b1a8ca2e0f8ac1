"""`fairlead run SERVICE [--] COMMAND...`: a command once, in a service's release and environment.

The daemon says where; the command runs on this terminal as our child (`foreground`), in a HOME of its own that is gone
afterwards. It belongs to no instance: FAIRLEAD_RUN, by which the daemon finds what an instance left behind, is not in
its environment.
"""

from __future__ import annotations

import os
import tempfile

import click

from fairlead.aiokit.trees import remove_tree
from fairlead.cli import foreground, output
from fairlead.cli.exec import AS_IT_IS
from fairlead.cli.names import complete_service
from fairlead.cli.options import home_option, stack_option
from fairlead.cli.place import Place, begin_or_say, place_of, words_or_shell
from fairlead.cli.session import Session
from fairlead.core.layout import Layout

MARKER = "FAIRLEAD_RUN"


@click.command("run", short_help="Run a command once, in a service's release.", context_settings=AS_IT_IS)
@click.argument("service", shell_complete=complete_service)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND...]")
@stack_option
@home_option
@click.pass_obj
def command(session: Session, service: str, words: tuple[str, ...], stack: str | None) -> int:
    """Run COMMAND once in the folder of SERVICE's present release, with its environment and as its user; default: a
    shell. It is no instance: it gets no requests, and does not end with one.

    Options of fairlead stand before SERVICE; everything after it is COMMAND's and reaches it unchanged, through no
    shell. COMMAND is on your terminal, signals reach it, and its exit status is the command's. HOME is an empty folder
    that is removed afterwards, unless the file sets it.

    \b
    Examples:
      fairlead run web python manage.py shell
      fairlead run web python manage.py createsuperuser
      fairlead run --stack shop web -- sh -c 'echo $DATABASE_URL | wc -c'

    \b
    Exit status:
      COMMAND's own, 128 + N when signal N ended it
      1    nothing runs, or the release's folder cannot be entered
      2    no such stack or service
      126  COMMAND cannot be run
      127  COMMAND is not there
    """
    wanted = words_or_shell(words)
    client = session.running()
    entry = client.entry(session.stack(client, stack), service=service)
    place = place_of(entry, session.layout).without(MARKER)
    if not _is_ours(place, session.layout):
        with foreground.held():
            return foreground.run(lambda: begin_or_say(place, wanted))
    with foreground.held():
        home = tempfile.mkdtemp(prefix="fairlead-run-")
        try:
            if place.user is not None:
                os.chown(home, *place.user)
            return foreground.run(lambda: begin_or_say(place.with_home(home), wanted))
        finally:
            try:
                remove_tree(home)
            except OSError:
                output.note(f"note: {home} cannot be removed")


def _is_ours(place: Place, layout: Layout) -> bool:
    """Whether HOME is what fairlead gives an instance, and not the file's."""
    return place.environment.get("HOME", "").startswith(f"{layout.run}/")
