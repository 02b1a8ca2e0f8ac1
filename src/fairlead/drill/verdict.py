"""What was found of an instance's capacity, in words. Pure.

In: a `Capacity`. Out: sentences for people, the verdict first, then what
the figures may suffer from.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.drill.capacity import Capacity, faults

BUSY = 0.95
"""The share of the machine's processors from which on they are said to have been all busy."""

OTHERS = 0.02
"""The share of capacity from which on the requests of others are told."""


def figure(rate: float) -> str:
    """A rate or a number as people write it: `412`, `33.3`, `0.42`."""
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


def span(seconds: float) -> str:
    """`0.42 ms`, `24 ms`, `1.2 s`."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.2g} ms"


def sentences(found: Capacity) -> list[str]:
    """The verdict."""
    return [*_main(found), *_cpu(found), *_start(found)]


def warnings(found: Capacity) -> list[str]:
    """Why the figures may be worse, or better, than the instance."""
    return [*found.notes, *_others(found), *_machine(found)]


def _main(found: Capacity) -> Iterator[str]:
    limit = span(found.limits.latency)
    rate, at, concurrency = found.rate, found.at_capacity, found.concurrency
    if rate is None or at is None or at.p95 is None or concurrency is None:
        least = min((step.rate for step in found.steps), default=None)
        tried = f", not even {figure(least)} requests/s" if least else ""
        yield f"no rate was found that one instance of {found.service} bears{tried} (p95 within {limit}, 99 % answered)"
        return
    more = "" if found.bound == "instance" else "at least "
    yield f"one instance of {found.service} does {more}{figure(rate)} requests/s (p95 {span(at.p95)}, limit {limit})"
    yield _beyond(found)
    yield f"it then works on {figure(concurrency)} requests at once; one alone takes {span(found.limits.unloaded)}"


def _beyond(found: Capacity) -> str:
    """What ended the search upward."""
    if found.above is None:
        over = "no higher rate was asked for: --max-rate"
        return over if found.bound == "max_rate" else "time was over before it was too much: --for 2m gives it more"
    wrong = f"at {figure(found.above.rate)}/s: {'; '.join(faults(found.above, found.limits))}"
    if found.bound == "generator":
        return f"{wrong}, but the generator was late itself: the instance may do more"
    return (
        f"{wrong}; there was no time for what is in between: --for 2m gives it more" if found.bound == "time" else wrong
    )


def _cpu(found: Capacity) -> Iterator[str]:
    if not found.cpu_per_request or not found.cpu_reserved or not found.rate:
        yield "what a request costs of the processor is not known"
        return
    used = 100 * (found.cpu_idle + found.rate * found.cpu_per_request) / found.cpu_reserved
    percent = figure(used if used < 10 else round(used))
    yield (
        f"a request costs {span(found.cpu_per_request)} of a processor: at {figure(found.rate)}/s its cpu is at "
        f"{percent} % of what it reserves ({_processors(found.cpu_reserved)})"
    )
    for target in found.cpu_targets:
        rate = found.rate_at(target) or 0.0
        if rate <= found.rate:
            yield f"at cpu target {target * 100:g} % that is {figure(rate)}/s"
        else:
            yield (
                f"cpu target {target * 100:g} % would be reached at {figure(rate)}/s, which it does not bear: "
                "requests_per_target or outstanding would see what cpu does not"
            )


def _start(found: Capacity) -> Iterator[str]:
    took = found.start_time
    yield (
        "how long it takes to start is not known" if took is None else f"it was in service {took:g} s after its launch"
    )


def _others(found: Capacity) -> Iterator[str]:
    if found.others is None:
        yield "it is not known whether others sent requests meanwhile"
    elif found.others > max(0.5, OTHERS * (found.rate or 0)):
        rate = figure(found.others)
        yield f"others sent {rate} requests/s to {found.service} meanwhile: alone an instance may do more"


def _machine(found: Capacity) -> Iterator[str]:
    at = found.above or found.at_capacity
    if at is None:
        return
    busy = at.machine is not None and at.machine >= BUSY
    if busy or found.cores < 2:
        full = f"all processors were busy at {figure(at.rate)}/s" if busy else "there is one processor only"
        yield (
            f"{full}, and the generator took {at.generator:.2g} of {_processors(found.cores)}: "
            "on a machine of its own an instance may do more"
        )


def _processors(number: float) -> str:
    return f"{number:g} processor{'' if number == 1 else 's'}"
