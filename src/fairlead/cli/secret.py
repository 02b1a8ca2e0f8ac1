"""`fairlead secret set|list|remove|reset`: values that the file names and does not hold.

A value comes in by a hidden prompt, by stdin or from a file, and never as an argument, which `ps` and the shell's
history would show. It goes to the daemon over its socket, which keeps it encrypted, and nothing ever prints it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fairlead.cli import output
from fairlead.cli.data_shared import show
from fairlead.cli.declared import up_command
from fairlead.cli.follow import TRIES
from fairlead.cli.guest import Guest
from fairlead.cli.names import complete_path, complete_secret, stacks_kept
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import FILE, Session, choose_stack, stack_here, stacks_of
from fairlead.cli.typed import ask_to_type, yes_option
from fairlead.core.secrets import check_name
from fairlead.errors import DaemonUnavailable, NotFound, UsageError

if TYPE_CHECKING:
    from fairlead.api.client import Client

Answer = TypeVar("Answer")

MOST = 1024 * 1024
"""Bytes that are read at most; the daemon refuses a value of more than 64 KiB when it is trimmed."""

HEADINGS = ("NAME", "ORIGIN", "CHANGED", "USED BY")

ORIGINS = {"set": "set", "environment": "environment of `up`"}


@click.group("secret", short_help="Values that the file names and does not hold.")
@home_option
def command() -> None:
    """Keep secrets of a stack: passwords, tokens, keys. fairlead.yaml names them (`secrets: [STRIPE_KEY]`, or
    `${secrets.STRIPE_KEY}`); their values are kept encrypted in the home and put in when a program is launched. They
    never appear in output, logs, `ps`, plans or decisions. docs/guide/secrets.md tells more.

    \b
    Examples:
      fairlead secret set STRIPE_KEY
      fairlead secret list
      fairlead secret remove STRIPE_KEY

    \b
    Exit status:
      0    done
      1    it failed
      2    no such secret, a value that cannot be used, or it is not clear which stack is meant
    """


@command.command(
    "set",
    short_help="Set a value, or another one.",
    # What is too much may be a value: Click would repeat it.
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
@click.argument("name", shell_complete=complete_secret)
@click.option("--file", metavar="PATH", shell_complete=complete_path, help="Read the value from this file.")
@stack_option
@json_option
@home_option
@click.pass_context
def set_value(ctx: click.Context, name: str, file: str | None, stack: str | None, as_json: bool) -> None:
    """Set secret NAME, or give it another value. At a terminal it is asked for and not shown; else all of stdin is the
    value. White space round it is taken off, which is said. At most 64 KiB.

    What runs keeps the value before; `fairlead up` rolls the new one out. The stack need not be up yet. The daemon is
    started when none runs.

    \b
    Examples:
      fairlead secret set STRIPE_KEY                      asks for it
      pass show stripe | fairlead secret set STRIPE_KEY
      fairlead secret set TLS_KEY --file key.pem
      fairlead secret set STRIPE_KEY --stack shop

    \b
    Exit status:
      0    it is set
      1    it cannot be kept
      2    the name or the value cannot be used, or it is not clear which stack is meant
      130  interrupted while it asked for the value; nothing is changed
    """
    if ctx.args:
        raise UsageError(
            "`fairlead secret set` takes a name and no value",
            "as an argument it would show in `ps`, and it now stands in your shell's history",
            f"Remove it there and run `{_command(name)}`, which asks for the value; or pass it by stdin.",
        )
    check_name(name)
    # A daemon that is started now inherits our environment.
    os.environ.pop(name, None)
    session = ctx.ensure_object(Session)
    guest = Guest(session)
    try:
        meant = _asked(session, lambda client: _stack(stack, lambda: stacks_of(client)))
        value = _value(name, meant, file)
        answer = _asked(session, lambda client: client.set_secret(meant, name, value))
    finally:
        guest.leave()
    show(answer, as_json)
    output.next_commands(up_command(), f"fairlead secret list{_naming(meant)}")


@command.command("list", short_help="Which secrets there are.")
@stack_option
@json_option
@home_option
@click.pass_obj
def list_all(session: Session, stack: str | None, as_json: bool) -> None:
    """Print the secrets of a stack, never a value: where each came from, when it last changed (UTC), and who uses it in
    the stack that is up. `set` came by `fairlead secret set`, the others from the environment of `fairlead up`, or the
    `.env` beside the file; `not set` is one that the stack needs and that was removed.

    \b
    Examples:
      fairlead secret list
      fairlead secret list --stack shop --json

    \b
    Exit status:
      0    there is an answer, also when it is none
      2    it is not clear which stack is meant
    """
    client = session.daemon_if_needed()
    if client is None:
        database = session.layout.database
        meant = _stack(stack, lambda: stacks_kept(database))
        answer: dict[str, Any] = {"stack": meant, "secrets": _kept(database, meant)}
    else:
        answer = client.secrets(_stack(stack, lambda: stacks_of(client)))
    if as_json:
        output.json(answer)
        return
    rows = answer["secrets"]
    if not rows:
        output.note(f"{output.cell(answer['stack'])} has no secrets")
        output.next_commands(f"fairlead secret set NAME{_naming(answer['stack'])}")
        return
    for line in table(rows):
        output.data(line)
    lacking = [output.cell(row["name"]) for row in rows if row["origin"] is None]
    output.next_commands(f"fairlead secret set {(lacking or ['NAME'])[0]}{_naming(answer['stack'])}")


@command.command("remove", short_help="Forget a value.")
@click.argument("name", shell_complete=complete_secret)
@click.option("--force", is_flag=True, help="Also when the stack that is up uses it.")
@stack_option
@json_option
@home_option
@click.pass_obj
def remove(session: Session, name: str, force: bool, stack: str | None, as_json: bool) -> None:
    """Forget the value of secret NAME. It is refused while the stack that is up uses it: what would be started anew
    could not get it. What runs with it keeps it until it is restarted.

    \b
    Examples:
      fairlead secret remove STRIPE_KEY
      fairlead secret remove STRIPE_KEY --stack shop --force

    \b
    Exit status:
      0    it is forgotten
      1    it cannot be removed
      2    there is no such secret, or it is used; or it is not clear which stack is meant
    """
    check_name(name)
    guest = Guest(session)
    try:
        meant = _asked(session, lambda client: _stack(stack, lambda: stacks_of(client)))
        answer = _asked(session, lambda client: client.remove_secret(meant, name, force=force))
    finally:
        guest.leave()
    show(answer, as_json)
    again = [f"fairlead secret set {name}{_naming(meant)}"] if answer["used_by"] else []
    output.next_commands(*again, f"fairlead secret list{_naming(meant)}")


@command.command("reset", short_help="Give up all values, when their key was lost.")
@yes_option("give up every value of the home.")
@json_option
@home_option
@click.pass_obj
def reset(session: Session, yes: bool, as_json: bool) -> None:
    """Give up the values of all secrets of the home, of every stack, when the key that opens them (`secret.key`) was
    lost and there is no backup of it. It is refused while the key opens them, and while a stack that has some is up.

    Set each secret again afterwards. Caches, databases and buckets keep their data, and get a new password by the next
    `fairlead up`.

    \b
    Examples:
      fairlead down shop
      fairlead secret reset
      fairlead secret set STRIPE_KEY --stack shop
      fairlead up

    \b
    Exit status:
      0    they are given up; the next value is encrypted with a new key
      1    something else was typed than asked for, or it failed
      2    the key opens them, a stack is up, or nobody is at a terminal to be asked
    """
    ask_to_type("reset", "give up every secret of this home", yes=yes)
    guest = Guest(session)
    try:
        answer = _asked(session, lambda client: client.reset_secrets())
    finally:
        guest.leave()
    show(answer, as_json)
    first = [f"fairlead secret set {one['name']} --stack {one['stack']}" for one in answer["secrets"][:1]]
    output.next_commands(*first, up_command())


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The lines for people."""
    cells = [HEADINGS, *(_row(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _asked(session: Session, act: Callable[[Client], Answer]) -> Answer:
    """What the daemon answers. One that another command had started may leave at any time, having nothing to do: then
    it has not heard of this, and the next one is asked."""
    for left in reversed(range(TRIES)):
        try:
            return act(session.daemon())
        except DaemonUnavailable as error:
            if not left or not isinstance(error.__cause__, ConnectionError | FileNotFoundError):
                raise
    raise AssertionError("the last try returns or raises")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    origin = "not set" if row["origin"] is None else ORIGINS.get(row["origin"], output.cell(row["origin"]))
    changed = output.moment(row["changed_at"]) if row["changed_at"] else "-"
    return output.cell(row["name"]), origin, changed, output.cell(", ".join(row["used_by"])) or "-"


def _stack(asked: str | None, names: Callable[[], list[str]]) -> str:
    """The stack that is meant: it need not be up, so the file in the current folder is enough. names: those there are,
    asked for when nothing else tells. NotFound, UsageError."""
    meant = asked or stack_here()
    if meant:
        return meant
    if os.path.lexists(FILE):
        why = f"the `name:` of ./{FILE} is no plain word on a line of its own"
        raise UsageError("it is not clear which stack is meant", why, "Name it with --stack.")
    known = names()
    if not known:
        why = f"there is no {FILE} in the current folder, and no stack in this home"
        raise NotFound("it is not clear which stack is meant", why, "Name it with --stack; it need not be up.")
    return choose_stack(known, None, None)


def _naming(stack: str) -> str:
    """` --stack NAME` for a command that is shown to be copied; "" where the file in the current folder tells it."""
    return "" if stack == stack_here() else f" --stack {output.cell(stack)}"


def _value(name: str, stack: str, file: str | None) -> str:
    """The value as it was given. UsageError."""
    if file is not None:
        given = _content(file)
    elif output.is_terminal(sys.stdin):
        from fairlead.cli.hidden import hidden_line

        given = hidden_line(f"value of {name} for {output.cell(stack)} (not shown): ")
    else:
        given = sys.stdin.buffer.read(MOST + 1) if sys.stdin is not None else b""
    if len(given) > MOST:
        raise UsageError(f"{name} is not set", "the value is too long: a secret may have 64 KiB")
    try:
        return given.decode()
    except UnicodeDecodeError:
        # Not chained: the cause holds the value.
        raise UsageError(f"{name} is not set", "the value is not UTF-8", "Encode it, by base64 for example.") from None


def _content(path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as opened:
            return opened.read(MOST + 1)
    except OSError as error:
        raise UsageError(f"{output.cell(path)} cannot be read", str(error.strerror)) from error


def _command(name: str) -> str:
    try:
        check_name(name)
    except UsageError:
        return "fairlead secret set NAME"
    return f"fairlead secret set {name}"


def _kept(database: str, stack: str) -> list[dict[str, Any]]:
    """The same as the daemon tells, of a home in which nothing runs."""
    from fairlead.cli.record import secrets

    return [{**row, "used_by": []} for row in secrets(database, stack)]
