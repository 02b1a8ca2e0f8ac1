"""`fairlead instance drain|return|standby|protect|terminate|open|close ID`: one instance, by hand."""

from __future__ import annotations

from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.follow import watch
from fairlead.cli.names import complete_instance
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import Session
from fairlead.errors import NotFound, UsageError

LONGEST = 7 * 86400
"""Seconds that an instance may be open; the daemon refuses more, too."""

STATUSES = """\b
Exit status:
  0    done
  1    it failed
  2    no such stack or instance, or it is not possible now; the error says why
"""


@click.group("instance", short_help="Drain, protect, terminate or open one instance.", epilog=STATUSES)
@home_option
def command() -> None:
    """Do something to one instance. ID is what `fairlead status` shows: `web-3`.

    \b
    Examples:
      fairlead instance drain web-3           no new request reaches it; it runs on, to be looked into
      fairlead instance standby web-3         the same, and another one is started in its place
      fairlead instance return web-3          it gets requests again
      fairlead instance protect web-3         it is not chosen when the service shrinks
      fairlead instance terminate web-3       it is replaced: the new one serves before it ends
      fairlead instance open web-3            it can be reached alone, to be tested
    """


@command.command("drain", short_help="Send it no new request; it runs on.", epilog=STATUSES)
@click.argument("instance", metavar="ID", shell_complete=complete_instance)
@click.option("--force", is_flag=True, help="Also when it is the last that serves: the service then answers 503.")
@stack_option
@json_option
@home_option
@click.pass_obj
def drain(session: Session, instance: str, force: bool, stack: str | None, as_json: bool) -> None:
    """Take instance ID out of the load balancer: new requests go to the others, those under way (WebSockets too) have
    the deregistration delay of its service to finish. The program runs on and counts as one of its service's instances,
    so nothing is started in its place: for that, `fairlead instance standby`.

    It stays so until `fairlead instance return ID`, or until a deployment replaces it. The last instance of a service
    that serves is drained only with --force.

    \b
    Examples:
      fairlead instance drain web-3
      fairlead exec web-3                     then look around in it
    """
    client = session.running()
    answer = client.drain(session.stack(client, stack), instance, force=force)
    _show(answer, as_json)
    _aside(session, answer)


@command.command("return", short_help="Send it requests again.", epilog=STATUSES)
@click.argument("instance", metavar="ID", shell_complete=complete_instance)
@stack_option
@json_option
@home_option
@click.pass_obj
def give_back(session: Session, instance: str, stack: str | None, as_json: bool) -> None:
    """Put instance ID, which is drained or on standby, back into the load balancer. It gets requests as soon as its
    health check passes.

    From standby it counts as one of its service's instances again. Where another one was started in its place there is
    now one too many, and the service's termination policy chooses which one goes; where it took its place with it
    (`standby --decrement`) the service should have one more, as long as its maximum allows that.

    \b
    Examples:
      fairlead instance return web-3
    """
    client = session.running()
    _show(client.give_back(session.stack(client, stack), instance), as_json)
    output.next_commands("fairlead status")


@command.command("standby", short_help="Take it aside; another takes its place.", epilog=STATUSES)
@click.argument("instance", metavar="ID", shell_complete=complete_instance)
@click.option("--decrement", is_flag=True, help="Start no other: the service should have one instance less.")
@stack_option
@json_option
@home_option
@click.pass_obj
def standby(session: Session, instance: str, decrement: bool, stack: str | None, as_json: bool) -> None:
    """Take instance ID aside: out of the load balancer, as with `drain`, and no longer one of its service's instances.
    Another one is started in its place. It runs on and is left alone: nothing counts it, checks it, replaces it or
    chooses it when the service shrinks, and no deployment touches it.

    It stays so until `fairlead instance return ID` or `fairlead instance terminate ID`, or until its service leaves the
    file. With --decrement the service shrinks by it, which its minimum may forbid.

    \b
    Examples:
      fairlead instance standby web-3
      fairlead exec web-3                     then look around in it
      fairlead instance standby web-3 --decrement
    """
    client = session.running()
    answer = client.standby(session.stack(client, stack), instance, decrement=decrement)
    _show(answer, as_json)
    _aside(session, answer)


@command.command("protect", short_help="Keep it when the service shrinks.", epilog=STATUSES)
@click.argument("instance", metavar="ID", shell_complete=complete_instance)
@click.option("--off", is_flag=True, help="Protect it no longer.")
@stack_option
@json_option
@home_option
@click.pass_obj
def protect(session: Session, instance: str, off: bool, stack: str | None, as_json: bool) -> None:
    """Keep instance ID from being chosen when its service shrinks (AWS: scale-in protection). It is still replaced when
    it is unhealthy, and by a deployment.

    \b
    Examples:
      fairlead instance protect web-3
      fairlead instance protect web-3 --off
    """
    client = session.running()
    _show(client.protect(session.stack(client, stack), instance, not off), as_json)
    output.next_commands("fairlead status")


@command.command("terminate", short_help="End it; another one takes its place.", epilog=STATUSES)
@click.argument("instance", metavar="ID", shell_complete=complete_instance)
@click.option("--now", is_flag=True, help="End it before another serves in its place.")
@click.option("--decrement", is_flag=True, help="Start none in its place: the service's size becomes one less.")
@stack_option
@json_option
@home_option
@click.pass_obj
def terminate(
    session: Session, instance: str, now: bool, decrement: bool, stack: str | None, as_json: bool
) -> int | None:
    """End instance ID. First another one is started and serves; then ID gets no new request, finishes what is under way
    and ends. Returns when it is gone. Ctrl-C stops the watching; the daemon goes on.

    \b
    Examples:
      fairlead instance terminate web-3
      fairlead instance terminate web-3 --now           (it is broken: do not wait for another)
      fairlead instance terminate web-3 --decrement     (as `fairlead scale`, but this one goes)
    """
    meant = session.stack(session.running(), stack)
    seen: list[dict[str, Any]] = []
    try:
        answer = watch(
            session.daemon,
            lambda client: client.terminate(meant, instance, now=now, decrement=decrement and not seen),
            seen.append,
        )
    except NotFound:
        # Asked again of a daemon that came back: it had finished before it could say so.
        if not seen:
            raise
        answer = {"stack": meant, "instance": instance, "text": f"{instance} has ended"}
    if answer is None:
        return 130
    _show(answer, as_json)
    output.next_commands("fairlead status", "fairlead events")
    return None


@command.command("open", short_help="Let it be reached alone, for a while.", epilog=STATUSES)
@click.argument("instance", metavar="ID", shell_complete=complete_instance)
@click.option(
    "--for", "length", metavar="TIME", default="1h", show_default=True, help="How long: 90s, 10m, 2h; at most 7d."
)
@stack_option
@json_option
@home_option
@click.pass_obj
def open_alone(session: Session, instance: str, length: str, stack: str | None, as_json: bool) -> None:
    """Print a URL that reaches instance ID and no other, whatever its health, also when it is drained: as one opens an
    EC2 instance's own address to test it. Requests go through the load balancer, on a port of this machine alone.

    The URL holds a token, without which the port answers 403. It is told this once and kept nowhere: whoever has it
    reaches the instance. In a browser the first visit makes a cookie of it; other programs send it as a header. Opened
    again, the instance has another token, and the one before ends.

    \b
    Examples:
      fairlead instance open web-3
      fairlead instance open web-3 --for 10m
      url=$(fairlead instance open web-3)
      curl -H "X-Fairlead-Open: ${url#*=}" "${url%%\\?*}health"
      fairlead instance close web-3
    """
    from fairlead.cli.moments import seconds

    long = seconds(length, "--for")
    if not 1 <= long <= LONGEST:
        advice = "Give it 7d, and open it again then." if long > LONGEST else "Give it a second at least."
        raise UsageError(f"--for {length!r} is not possible", "it can be open for 1s to 7d", advice)
    client = session.running()
    answer = client.open_instance(session.stack(client, stack), instance, long)
    if as_json:
        output.json({key: answer.get(key) for key in ("stack", "instance", "url", "port", "until", "text")})
    else:
        output.data(output.cell(answer["url"]))
        output.note(output.cell(answer["text"]).replace(answer["until"], output.moment(answer["until"])))
    # Not the token: what goes to stderr is often kept.
    bare = output.cell(answer["url"]).partition("?")[0]
    header = f"curl -H 'X-Fairlead-Open: TOKEN' {bare}"
    output.note(f"open it in a browser, or: {header}  (TOKEN: what follows the = in the URL)")
    output.next_commands(f"fairlead instance close {_id(answer)}{session.naming(answer['stack'])}")


@command.command("close", short_help="Let it be reached alone no longer.", epilog=STATUSES)
@click.argument("instance", metavar="ID", shell_complete=complete_instance)
@stack_option
@json_option
@home_option
@click.pass_obj
def close(session: Session, instance: str, stack: str | None, as_json: bool) -> None:
    """End what `fairlead instance open ID` began before its time: the URL stops working. What the instance gets through
    its listeners stays as it is.

    \b
    Examples:
      fairlead instance close web-3
    """
    client = session.running()
    _show(client.close_instance(session.stack(client, stack), instance), as_json)
    output.next_commands("fairlead status")


def _aside(session: Session, answer: dict[str, Any]) -> None:
    """What is useful with one that gets no requests: look around in it, and put it back."""
    named = session.naming(answer["stack"])
    # What stands behind the name is the command that `exec` runs.
    output.next_commands(f"fairlead exec{named} {_id(answer)}", f"fairlead instance return {_id(answer)}{named}")


def _show(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.json({key: answer.get(key) for key in ("stack", "instance", "text")})
    else:
        output.note(output.cell(answer["text"]))


def _id(answer: dict[str, Any]) -> str:
    return output.cell(answer["instance"])
