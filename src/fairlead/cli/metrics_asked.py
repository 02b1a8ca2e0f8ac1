"""What `fairlead metrics` is asked for, as a value; and what makes no sense, said before anybody is asked.

In: what the command line says. Out: an `Asked`, from when to when that is at a moment, and UsageError, also by way of
Click.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import click

from fairlead.cli import output
from fairlead.cli.moments import moment, seconds, shown
from fairlead.cli.names import declared_metrics
from fairlead.core.scaling.policies import CUSTOM
from fairlead.errors import NotFound, UsageError

LOOPBACK = "127.0.0.1"

HELP = "fairlead metrics --help"


class Asked(NamedTuple):
    """Whose metrics, of when. since, until: as they were written, since "5m" means another moment at each look."""

    stack: str
    service: str | None
    zone: str | None
    target: str | None
    since: str
    until: str | None
    period: int | None
    wanted: tuple[str, ...]


class MetricName(click.ParamType[str]):
    """A name of the catalogue, in any case; or `custom:NAME`, of which only the daemon knows whether it is there."""

    name = "metric"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        names = {name.lower(): name for name in _names()}
        asked = str(value).lower()
        if asked.startswith(CUSTOM) and asked != CUSTOM:
            return CUSTOM + str(value)[len(CUSTOM) :]
        if asked not in names:
            from difflib import get_close_matches

            within = [name for name in names if len(asked) > 2 and asked in name]
            close = within or get_close_matches(asked[:100], names, n=1)
            guess = f"did you mean {names[close[0]]}?" if close else "docs/reference/metrics.md has them all"
            self.fail(f"there is no metric '{output.cell(value)}'; {guess}", param, ctx)
        return names[asked]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        names = [*_names(), *declared_metrics(ctx)]
        return [CompletionItem(name) for name in names if name.lower().startswith(incomplete.lower())]


def _names() -> list[str]:
    from fairlead.metrics.catalogue import METRICS

    return [metric.name for metric in METRICS]


def period_of(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """What --period says, in seconds."""
    if value is None:
        return None
    length = seconds(value, "--period")
    if length != int(length) or not 1 <= length <= 86400:
        raise UsageError(
            f"--period {value!r} is no whole number of seconds from 1s to 1d", "", "Give it 10s, 1m or 5m."
        )
    return int(length)


def address_of(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """What --listen says: `9464`, `127.0.0.1:9464`, `localhost:9464`, `[::1]:9464`."""
    if value is None:
        return None
    from ipaddress import ip_address

    address, _, port = value.rpartition(":")
    address = address.removeprefix("[").removesuffix("]") or LOOPBACK
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"--listen {value!r} is no address and port", "", f"Write it like {LOOPBACK}:9464.")
    if address == "localhost":
        address = LOOPBACK
    try:
        ip_address(address)
    except ValueError:
        why = f"{address!r} is no address of this machine, such as {LOOPBACK}"
        raise UsageError(f"--listen {value!r} is no address and port", why, f"Write it like {LOOPBACK}:9464.") from None
    return address, int(port)


def refuse_nonsense(alone: Mapping[str, object], hosts: tuple[str, ...], as_json: bool) -> None:
    """alone: of these only one can be given."""
    given = [name for name, value in alone.items() if value not in (None, False)]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} cannot be given together", "", HELP)
    if "--prometheus" in given and as_json:
        raise UsageError("--prometheus and --json cannot be given together", "", HELP)
    if hosts and "--listen" not in given:
        raise UsageError("--host says nothing without --listen", "", HELP)


def refuse_what_cannot_be(asked: Asked, watch: float | None) -> None:
    """What is wrong with the request is said before anybody is asked."""
    from fairlead.metrics.catalogue import BY_NAME

    if asked.until is not None and watch is not None:
        raise UsageError("--until and --watch cannot be given together", "what is watched is now", HELP)
    if asked.zone and not asked.service:
        raise UsageError("--zone needs a service", "", "fairlead metrics SERVICE --zone ZONE")
    span_of(asked, datetime.now().astimezone())
    if asked.target or asked.zone:
        levels = {"target"} if asked.target else {"zone", "target"}
    else:
        levels = {"service", "zone", "target"} if asked.service else {"stack", "service"}
    for name in asked.wanted:
        has = BY_NAME[name].levels if name in BY_NAME else ("service",)
        if not levels & set(has):
            whose = asked.target or (f"zone {asked.zone}" if asked.zone else asked.service) or "a stack"
            kinds = " and ".join(f"a {level}" for level in has)
            without = " without SERVICE" if "stack" in has else " SERVICE"
            raise UsageError(
                f"there is no {name} of {output.cell(whose)}",
                f"it is a metric of {kinds}",
                f"fairlead metrics{'' if 'stack' in has else without} --metric {name}",
            )


def refuse_unknown(asked: Asked, answer: Mapping[str, Any]) -> None:
    """NotFound: nothing was measured of a metric of the user's own that is asked for."""
    known = sorted({str(one["name"]) for series in answer["series"] for one in series["metrics"]})
    own = [name for name in known if name.startswith(CUSTOM)]
    for name in asked.wanted:
        if name.startswith(CUSTOM) and name not in own:
            there = f"{output.cell(asked.service or asked.stack)} has {', '.join(map(output.cell, own))}" if own else ""
            why = there or "nothing of `custom_metrics` was measured in that time"
            raise NotFound(f"there is no metric '{output.cell(name)}'", why, "fairlead metrics")


def span_of(asked: Asked, now: datetime) -> tuple[datetime, datetime]:
    """From when to when, at `now`."""
    until = now if asked.until is None else moment(asked.until, now, "--until")
    since = moment(asked.since, now, "--since")
    if since >= until:
        why = f"{shown(since.astimezone())} is not before {shown(until.astimezone())}"
        raise UsageError("--since is not before --until", why, "Give --since the earlier of the two.")
    return since, until
