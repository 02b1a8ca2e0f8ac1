"""`fairlead completion`: the script with which bash, zsh or fish asks fairlead what could come next on a line.

The script is Click's own; it runs `fairlead` with _FAIRLEAD_COMPLETE set at every TAB, and `answer` replies. The law of
an answer: it starts no daemon, writes nothing, and prints no error, whatever is wrong; `names` reads the store.
"""

from __future__ import annotations

import os
import sys

import click

from fairlead.cli import output
from fairlead.cli.options import home_option

VARIABLE = "_FAIRLEAD_COMPLETE"
"""Set by the scripts: `bash_complete` and its like."""

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@home_option
def command(shell: str) -> None:
    """Print the script that makes TAB complete commands, options, and the names of stacks, services, instances and jobs
    in SHELL: bash (4.4 or later), zsh or fish. One line in the shell's own file loads it, from the next shell on:

    \b
      ~/.bashrc                    eval "$(fairlead completion bash)"
      ~/.zshrc                     eval "$(fairlead completion zsh)"       (after compinit)
      ~/.config/fish/config.fish   fairlead completion fish | source

    Names are read from the home's database; no daemon is needed, and none is started.

    \b
    Examples:
      eval "$(fairlead completion bash)"
      fairlead completion zsh > ~/.zfunc/_fairlead

    \b
    Exit status:
      0    printed
      2    SHELL is none of the three
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from fairlead.cli.main import fairlead

    kind = get_completion_class(shell)
    assert kind is not None
    # The base class: bash's own would run bash to see how old it is.
    output.data(ShellComplete.source(kind(fairlead, {}, "fairlead", VARIABLE)).rstrip("\n"))


def answer() -> int:
    """Reply to a shell that asks; the exit status. Nothing but the reply is ever printed."""
    from fairlead.cli.main import fairlead
    from fairlead.cli.session import Session

    # A warning or traceback would land in the middle of the line that the user is typing.
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        fairlead.main([], prog_name="fairlead", complete_var=VARIABLE, standalone_mode=False, obj=Session())
    except SystemExit as ended:
        sys.stdout.flush()
        return ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        return 1
    return 0
