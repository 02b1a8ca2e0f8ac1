"""A drill sends its steps to the instance alone, judges what came of them, and comes to an end whatever happens. How exact
it is with a real instance is shown by tests/live/test_drill.py: these are moments long, on a machine that does other
things, so that what they find is not asked for exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from fairlead.drill.capacity import Capacity, Limits, Step
from fairlead.drill.measuring import Asked, Listening, measure
from fairlead.drill.subject import chosen
from fairlead.errors import FairleadError, UsageError
from tests.drill.daemons import TOKEN, FakeDaemon, a_service, a_stack, an_instance
from tests.drill.servers import Answer, Exchange, a_server, well

SOON = Asked(seconds=1.0, highest=100.0, latency=1.0)


@dataclass
class Drill:
    """One that is done; `seen` are the requests as the instance saw them."""

    daemon: FakeDaemon
    found: Capacity | None = None
    error: FairleadError | None = None
    lines: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    seen: list[Exchange] = field(default_factory=list)


async def drilled(
    answer: Answer = well,
    asked: Asked = SOON,
    daemon: FakeDaemon | None = None,
    on_step: Callable[[Drill, asyncio.Event], None] = lambda drill, stop: None,
) -> Drill:
    """One drill of a server that answers so."""
    stop, drill = asyncio.Event(), Drill(daemon or FakeDaemon())

    def step(step: Step, limits: Limits) -> None:
        drill.steps.append(step)
        on_step(drill, stop)

    async with a_server(answer) as server:
        drill.daemon.url = server.url
        subject = chosen(drill.daemon.stack, None, None)
        try:
            async with asyncio.timeout(60):
                drill.found = await measure(
                    drill.daemon, subject, asked, Listening(line=drill.lines.append, step=step), stop
                )
        except FairleadError as error:
            drill.error = error
        drill.seen = server.seen
    assert drill.daemon.changes()[-1] == "close shop web-1"
    return drill


def workers(number: int, takes: float) -> Answer:
    """A server that works on so many requests at once, each for so long."""
    free = asyncio.Semaphore(number)

    async def answer(exchange: Exchange) -> None:
        async with free:
            await asyncio.sleep(takes)
        await well(exchange)

    return answer


async def test_every_request_opens_the_instance_and_asks_for_the_path() -> None:
    drill = await drilled(asked=Asked(path="/api?q=1", seconds=0.6, highest=200.0, latency=1.0))
    heads = {exchange.head.split("\r\n")[0] for exchange in drill.seen}
    assert heads == {"GET /api?q=1 HTTP/1.1"}
    assert all(f"x-fairlead-open: {TOKEN}" in exchange.head for exchange in drill.seen)
    assert drill.found is not None
    assert TOKEN not in f"{drill.found} {drill.lines} {drill.found.to_json()}"


async def test_no_rate_is_beyond_the_highest_that_was_asked_for() -> None:
    drill = await drilled()
    assert drill.found is not None
    assert drill.found.limits.highest == 100.0
    assert drill.steps[0].rate == 100.0
    assert all(step.rate <= 100.0 for step in drill.steps)
    assert drill.found.steps == tuple(drill.steps)
    assert drill.found.start_time == 1.2
    assert drill.found.cores >= 1


async def test_one_that_is_slow_is_not_found_to_do_more_than_it_can() -> None:
    """One worker, 20 ms: at most 50/s."""
    drill = await drilled(workers(1, 0.02), Asked(seconds=2.0, latency=0.06))
    assert drill.found is not None
    assert drill.found.limits.latency == 0.06
    assert drill.found.rate is None or drill.found.rate <= 60


async def test_connections_bound_the_rate_so_that_nothing_waits_for_one() -> None:
    drill = await drilled(workers(100, 0.02), Asked(seconds=0.6, connections=2, latency=1.0))
    assert drill.found is not None
    assert drill.found.limits.highest <= 0.9 * 2 / 0.02
    assert max(step.rate for step in drill.steps) <= drill.found.limits.highest


async def refuses(exchange: Exchange) -> None:
    await exchange.say(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")


async def closes(exchange: Exchange) -> None:
    exchange.close()


async def redirects(exchange: Exchange) -> None:
    await exchange.say(b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [(refuses, "web-1 answered 404 to GET /"), (closes, "web-1 did not answer: closed before the answer to GET /")],
)
async def test_a_path_that_is_not_answered_well_ends_it_at_once(answer: Answer, said: str) -> None:
    drill = await drilled(answer)
    assert isinstance(drill.error, UsageError)
    assert said in drill.error.sentence
    assert len(drill.seen) == 1


async def test_a_redirect_is_an_answer_and_said_to_be_one() -> None:
    drill = await drilled(redirects)
    assert drill.found is not None
    assert drill.steps[0].errors == {}
    assert drill.found.notes == ("GET / is answered with 302: that is what is measured",)


async def test_failures_under_load_are_what_it_does_not_bear() -> None:
    """Requests one after another have a connection each; those of a step use it again, and fail."""

    async def once_a_connection(exchange: Exchange) -> None:
        known = exchange.connection in connections
        connections.add(exchange.connection)
        await refuses(exchange) if known else await well(exchange)

    connections: set[int] = set()
    drill = await drilled(once_a_connection)
    assert drill.found is not None
    assert drill.steps[0].errors["status 404"] > 0
    assert drill.found.rate is None


async def test_ctrl_c_ends_the_step_and_what_was_measured_is_kept() -> None:
    def after_one(drill: Drill, stop: asyncio.Event) -> None:
        stop.set()

    drill = await drilled(on_step=after_one)
    assert drill.found is not None
    assert len(drill.found.steps) == 1


async def test_ctrl_c_in_the_middle_of_a_step_drops_that_step() -> None:
    async def well_until(exchange: Exchange) -> None:
        await well(exchange)
        if len(seen) == 12:
            stops[0].set()
        seen.append(exchange)

    seen: list[Exchange] = []
    stops: list[asyncio.Event] = []
    daemon = FakeDaemon()
    async with a_server(well_until) as server:
        daemon.url = server.url
        stops.append(asyncio.Event())
        listening = Listening(line=lambda line: None, step=lambda step, limits: None)
        asked = Asked(seconds=6, highest=20.0, latency=1.0)
        found = await measure(daemon, chosen(daemon.stack, None, None), asked, listening, stops[0])
    assert (found.steps, found.rate) == ((), None)
    assert daemon.changes() == ["open shop web-1", "close shop web-1"]


async def test_an_instance_that_is_another_one_now_ends_it_and_the_step_in_which_it_changed_says_nothing() -> None:
    def restarts(drill: Drill, stop: asyncio.Event) -> None:
        drill.daemon.stack = a_stack(a_service(instances=[an_instance(pid=99)]))

    drill = await drilled(workers(50, 0.02), on_step=restarts)
    assert drill.found is not None
    assert len(drill.found.steps) == 1
    assert drill.found.notes[0] == "web-1 was started anew: what was measured until then is of the one before"


async def test_a_daemon_that_is_away_for_a_moment_does_not_end_it() -> None:
    drill = await drilled(workers(50, 0.02), daemon=FakeDaemon(refuses={"status", "events"}))
    assert drill.found is not None
    assert len(drill.steps) > 1
    assert drill.found.start_time is None
