"""The status as a table for people: the contract of `status --json`, with explanations, comes in; lines come out, and
what to do next.

Pure: the time, the width and the use of colour are arguments. Columns are as wide as they must be, and on a terminal
that is too narrow those that matter least are left out; a reason gets a line of its own, since it is a sentence. A
daemon of before an upgrade may answer: keys that were added later may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from fairlead.cli import status_resources, status_scaling
from fairlead.cli.output import cell, duration, folded, moment, not_enforced, paint
from fairlead.cli.status_columns import HEADINGS as HEADINGS
from fairlead.cli.status_columns import colours_of, columns_of, figures_of, fitting, is_aside, row_of
from fairlead.core.figures import WINDOW
from fairlead.core.performance import told

NO_CHECKS = "Target.HealthCheckDisabled"
"""The reason of a target that gets requests, and that nobody asks how it is."""

SOON = 14 * 86400
"""Seconds before its end that a certificate is shown with how long it still holds."""

MOST_CERTIFICATES = 3
"""Of a listener that are shown though all is well with them."""

MOST_NAMES = 3
"""Hosts of a certificate that are shown."""


class View(NamedTuple):
    """width: characters of a line; None: as many as it takes."""

    now: datetime
    colour: bool
    width: int | None = None


def table(answer: dict[str, Any], view: View) -> list[str]:
    """Its lines. answer: the status contract, with explanations."""
    lines = [line for stack in answer["stacks"] for line in _stack(stack, view)]
    for node in answer["balancer"]["nodes"]:
        lines.append(f"balancer: HAProxy {cell(node['version'])}, {_pid(node)}, {cell(node['state'])}")
        if node.get("problem"):
            lines.append(f"  {cell(node['problem'])}")
    daemon = answer["daemon"]
    lines.append(f"daemon: fairlead {cell(daemon['version'])}, {_pid(daemon)}" if daemon else "daemon: none")
    if daemon and not daemon.get("recording", True):
        lines.append("  the disk is full: healing goes on, events and decisions are not recorded")
    return lines


def _is_open(address: str) -> bool:
    """Whether others than this machine reach it."""
    return bool(address) and not address.startswith("127.") and address != "::1"


def next_useful(answer: dict[str, Any], naming: Callable[[str], str]) -> tuple[str, ...]:
    """Commands that are useful now, of an answer with stacks. naming: how a command has to name a stack, ` --stack
    shop`, or "" where it is understood."""
    every = [(stack, service) for stack in answer["stacks"] for service in stack["services"]]
    suspended = [f"fairlead resume {_named(*one)}" for one in every if one[1].get("suspended")][:1]
    suspended += [said for stack in answer["stacks"] if (said := status_resources.next_useful(stack))][:1]
    if all(_healthy(stack) and not _troubled(stack) for stack in answer["stacks"]):
        # The one that is understood, when there are several.
        named = min((naming(stack["name"]) for stack in answer["stacks"]), key=bool)
        return (*suspended, f"fairlead check{named}", f"fairlead logs{named} --follow", f"fairlead down{named}")
    ill = [one for one in every if not _complete(one[1])]
    logged = [stack for stack, service in ill if service.get("runs", True)]
    if ill and not logged:
        return (f"fairlead explain {_named(*ill[0])}", "fairlead events")  # it has no logs
    of = logged or [stack for stack in answer["stacks"] if _troubled(stack)]
    return (*suspended, "fairlead events", f"fairlead logs{naming(of[0]['name'])}")


def _named(stack: dict[str, Any], service: dict[str, Any]) -> str:
    return f"{cell(service['name'])} --stack {cell(stack['name'])}"


def _stack(stack: dict[str, Any], view: View) -> Iterator[str]:
    colour = view.colour
    yield f"{paint(cell(stack['name']), 'bold', on=colour)}  (engine {cell(stack['engine'])})"
    for listener in stack["listeners"]:
        address = str(listener.get("address") or "")
        others = f", also for other machines ({cell(address)})" if _is_open(address) else ""
        yield f"  {cell(listener['url'])}  {cell(listener['protocol'])}{_rules(listener)}{others}"
        if why := listener.get("explanation"):
            yield f"    {paint('closed', 'red', on=colour)}: {cell(why)}"
        yield from _certificates(listener.get("certificates") or [], view.now, colour)
    for service in stack["services"]:
        yield from _service(service, view)
    for resource in stack.get("resources") or ():
        yield from _resource(resource, view)
    if jobs := stack.get("jobs"):
        yield f"  jobs: {cell(jobs)}  (`fairlead jobs` shows their runs)"
    for alarm in stack.get("alarms") or ():
        yield f"  {paint('alarm', 'red', on=colour)}: {cell(alarm['text'])}"
    for line in not_enforced(stack.get("unenforced") or (), stack["engine"]):
        yield f"  {line}"
    yield ""


def _rules(listener: dict[str, Any]) -> str:
    count = listener.get("rules") or 0
    return f", {cell(count)} rule{'s' if count != 1 else ''}" if count else ""


def _certificates(certificates: list[dict[str, Any]], now: datetime, colour: bool) -> Iterator[str]:
    """Those that somebody must look after, and the first of the others."""
    left_out = [one for one in certificates if not one["problem"] and _left(one, now) > SOON][MOST_CERTIFICATES:]
    for one in certificates:
        if one in left_out:
            continue
        known = sorted(one["names"], key=_every_machine_has) if not one["file"] else one["names"]
        names = ", ".join(map(cell, known[:MOST_NAMES])) + (", ..." if known[MOST_NAMES:] else "")
        of = f"certificate for {names}" if one["file"] else f"certificate for {names} (development CA)"
        left = _left(one, now)
        until = f"{'expired' if left < 0 else 'valid until'} {moment(one['expires_at'])}"
        # Those of the development CA are issued again in time.
        if left < SOON and one["file"]:
            until += f", in {duration(left)}" if left >= 0 else ""
            until = paint(until, "red" if left < 0 else "yellow", on=colour)
        yield f"    {of}, {until}"
        if one["problem"]:
            yield f"      {paint('problem', 'red', on=colour)}: {cell(one['problem'])}"
    if left_out:
        yield f"    {len(left_out)} more certificate{'s' if len(left_out) != 1 else ''}"


def _every_machine_has(name: str) -> bool:
    """Whether the development CA puts that name into each certificate; a host that the rules name says more."""
    return "." not in name or name == "*.localhost" or name.replace(".", "").isdigit()


def _left(certificate: dict[str, Any], now: datetime) -> float:
    """Seconds; negative when it has expired."""
    try:
        return (datetime.fromisoformat(str(certificate["expires_at"])) - now).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _service(service: dict[str, Any], view: View) -> Iterator[str]:
    instances = service["instances"]
    yield f"  {paint(cell(service['name']), 'bold', on=view.colour)}  {_release(service)}, {_size(service)}"
    # Why it has not as many as it should: what it waits for.
    if why := service.get("explanation"):
        yield from _labelled("", cell(why), view)
    for text in status_resources.missing(service):
        yield from _labelled("needs", text, view)
    if did := told(figures_of(service)):
        yield f"    last {WINDOW} s: {did}"
    for label, text in status_scaling.lines(service):
        yield from _labelled(label, text, view)
    if not instances:
        return
    rows = [row_of(instance, view.now) for instance in instances]
    shown = fitting(columns_of(service), rows, service, view.width)
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in shown}
    yield f"    {'  '.join(f'{name:<{widths[name]}}' for name in shown).rstrip()}"
    for row, instance in zip(rows, instances, strict=True):
        colours = colours_of(instance) if view.colour else {}
        cells = (paint(f"{row[name]:<{widths[name]}}", colours.get(name, "dim"), on=name in colours) for name in shown)
        yield f"    {'  '.join(cells).rstrip()}"
        for line in (*_why(instance), _marks(instance)):
            if line:
                yield from _indented(line, 6, view)


def _resource(resource: dict[str, Any], view: View) -> Iterator[str]:
    """A cache, database or bucket: its own line, and what stands below it."""
    for number, parts in enumerate(status_resources.lines(resource, view.now)):
        indent = "    " if number else "  "
        plain = "".join(part.text for part in parts)
        if view.width is not None and len(indent + plain) > view.width:
            yield from (indent + line for line in folded(plain, view.width - len(indent), 2))
        else:
            yield indent + "".join(_painted(part, view) for part in parts)


def _painted(part: status_resources.Part, view: View) -> str:
    return paint(part.text, part.colour, on=view.colour) if part.colour else part.text


def _indented(text: str, indent: int, view: View) -> Iterator[str]:
    """A sentence behind so many blanks, on as many lines as a narrow terminal needs."""
    yield from (f"{'':{indent}}{line}" for line in folded(text, None if view.width is None else view.width - indent, 2))


def _labelled(label: str, text: str, view: View) -> Iterator[str]:
    """A line below a service's own, on as many as a narrow terminal needs."""
    colour = "yellow" if label in ("held", "suspended", "needs") else "dim"
    first, *rest = _indented(f"{label}: {text}" if label else text, 4, view)
    behind = 4 + len(label)
    yield f"    {paint(first[4:behind], colour, on=view.colour)}{first[behind:]}"
    yield from rest


def _why(instance: dict[str, Any]) -> Iterator[str]:
    if instance["reason"] == NO_CHECKS or is_aside(instance):
        return  # the line of its service, or its state, says it
    yield ": ".join(cell(instance[key]) for key in ("reason", "description") if instance[key])
    yield cell(instance.get("explanation") or "")


def _release(service: dict[str, Any]) -> str:
    if not service.get("runs", True):
        return "routed to, not run"
    worker = "" if service.get("serves", True) else "worker, "
    return worker + ("no release" if service["release"] is None else f"release {cell(service['release'])}")


def _size(service: dict[str, Any]) -> str:
    """`3 of 4 healthy (4, set by hand; the file says 2)`, `3 of 3 healthy (2..10)`."""
    ready = sum(serves(one) and one["state"] == "in_service" for one in service["instances"])
    unasked = any(one["reason"] == NO_CHECKS for one in service["instances"])
    healthy = "healthy" if service.get("serves", True) else "running"
    healthy = "in rotation, no health checks" if unasked else healthy
    desired, declared = service["desired"], service.get("declared")
    if not service.get("runs", True):
        return f"{ready} of {cell(desired)} {healthy}"
    if scaling := service.get("scaling"):
        return f"{ready} of {cell(desired)} {healthy} ({status_scaling.bounds(scaling)})"
    if declared is not None and declared != desired and service["release"] is not None:
        limits = f"{cell(desired)}, set by hand; the file says {cell(declared)}"
    else:
        limits = f"min {cell(service['min'])}, max {cell(service['max'])}"
    return f"{ready} of {cell(desired)} {healthy} ({limits})"


def _marks(instance: dict[str, Any]) -> str:
    """What was done to it, by hand or by the balancer, and what is to come of it."""
    marks = []
    if instance.get("anomalous"):
        marks.append("anomalous, gets fewer requests")
    if opened := instance.get("opened"):
        marks.append(f"open on 127.0.0.1:{cell(opened['port'])} until {moment(opened['until'])}")
    if standby := instance.get("standby"):
        place = "another takes its place" if standby == "replaced" else "none takes its place"
        marks.append(f"put on standby by hand, {place}")
    elif instance.get("drained"):
        marks.append("drained by hand: it gets no new request")
    if instance.get("pooled") and instance["state"] == "pending":
        marks.append("for the warm pool")
    if instance.get("protected"):
        marks.append("protected from scale-in")
    if condemned := instance.get("condemned"):
        marks.append(f"to be replaced: {cell(condemned)}" if isinstance(condemned, str) else "to be replaced")
    return "; ".join(marks)


def _pid(of: dict[str, Any]) -> str:
    return "no process" if of["pid"] is None else f"pid {cell(of['pid'])}"


def serves(instance: dict[str, Any]) -> bool:
    """Whether requests go there as they should: it is healthy, or nobody asks."""
    return bool(instance["health"] == "healthy" or instance.get("reason") == NO_CHECKS)


def _troubled(stack: dict[str, Any]) -> bool:
    return any(one["problem"] for listener in stack["listeners"] for one in listener.get("certificates") or ())


def _healthy(stack: dict[str, Any]) -> bool:
    return all(map(_complete, stack["services"]))


def _complete(service: dict[str, Any]) -> bool:
    return bool(sum(map(serves, service["instances"])) >= service["desired"])
