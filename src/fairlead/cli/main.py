"""The `fairlead` program: its commands, and the one place where errors become text and an exit status.

Arguments come in, a status goes out: 0 done; 1 it failed, or does not hold; 2 the request makes no sense (usage, an
invalid file, no such stack); 3 another daemon holds the home; 130 interrupted; 141 nobody reads the output any more.
A command's module is imported only when that command runs.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from fairlead import __version__
from fairlead.cli import output
from fairlead.cli.options import home_option
from fairlead.cli.see_also import with_see_also
from fairlead.cli.session import Session
from fairlead.errors import FairleadError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = (
    "init", "up", "plan", "down", "status", "scale", "suspend", "resume", "restart", "instance", "logs", "metrics",
    "events", "explain", "check", "drill", "simulate",
    "exec", "run", "jobs", "data", "secret", "trust", "schema", "completion", "daemon",
)  # fmt: skip
"""In the order of `--help`: `NAME` is `command` in `fairlead/cli/NAME.py`."""

EXIT_STATUSES = """\b
Exit status:
  0    done
  1    it failed, or (check) it does not hold
  2    the request makes no sense: usage, an invalid file, no such stack; (plan --exit-code) there are changes
  3    another daemon holds the home (daemon)
  126  (exec, run, data shell) the program cannot be run; 127: it is not there; otherwise the status is its own
  130  interrupted by Ctrl-C
  141  nobody reads the output any more
"""


class Commands(click.Group):
    """The group that imports a command's module when it is asked for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Bash shows names alone: what is beside them would have to be imported from every command.
        if incomplete.startswith("-") or not os.environ.get("_FAIRLEAD_COMPLETE", "").startswith("bash"):
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in COMMANDS if name.startswith(incomplete)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            found = import_module(f"fairlead.cli.{cmd_name}").command
            assert isinstance(found, click.Command)
            found.epilog = with_see_also(cmd_name, found.epilog)
            return found
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Before Click sees it: it would make status 1 of it, which means something else here.
            return _nobody_reads()


@click.group(
    cls=Commands,
    epilog=EXIT_STATUSES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="fairlead %(version)s")
@home_option
@click.pass_context
def fairlead(ctx: click.Context) -> None:
    """Runs a web service the way a cloud runs it, on one machine: several instances behind a load balancer, healed
    when they die and deployed without losing a request.

    \b
    Examples:
      fairlead init                write ./fairlead.yaml from what the folder holds
      fairlead up                  bring up ./fairlead.yaml, build first if need be
      fairlead status              what runs, and how it is
      fairlead check               are requests shared evenly?
      fairlead down --all          stop everything, the daemon too
    """


def run(arguments: list[str]) -> int:
    """Run one command; its exit status. Whatever goes wrong is printed here, on stderr."""
    if os.environ.get("_FAIRLEAD_COMPLETE"):
        # A shell asks what could come next (`fairlead completion`).
        from fairlead.cli.completion import answer

        return answer()
    output.never_fail_to_encode()
    session = Session()
    try:
        status = fairlead.main(arguments, prog_name="fairlead", standalone_mode=False, obj=session)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except FairleadError as error:
        error.next_step = session.typed(error.next_step)
        output.error(error)
        return error.exit_status
    except click.exceptions.NoArgsIsHelpError as error:
        output.note(error.format_message())
        return error.exit_code
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "fairlead"
        output.error(UsageError(error.format_message().rstrip("."), next_step=f"{where} --help"))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        output.note("interrupted")
        return 130
    except BrokenPipeError:
        return _nobody_reads()
    except OSError as error:
        why = error.strerror or str(error)
        if error.filename is not None:
            output.error(FairleadError(f"{error.filename} cannot be used", why))
        else:
            output.error(FairleadError("the output cannot be written", why))
            _forget_output()
        return 1
    except Exception as error:
        output.error(_unforeseen(error))
        return 1


def _unforeseen(error: Exception) -> FairleadError:
    """A mistake of fairlead, or an answer of a daemon of another version that lacks what this one looks for."""
    from traceback import format_exc

    return FairleadError(
        "the command failed by a fault of fairlead",
        f"{type(error).__name__}: {error}",
        "If `fairlead daemon status` shows another version, `fairlead daemon upgrade` helps; else report these lines.",
        detail=format_exc().strip(),
    )


def _nobody_reads() -> int:
    _forget_output()
    return 141


def _forget_output() -> None:
    """End in peace: Python flushes stdout once more when it ends, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
