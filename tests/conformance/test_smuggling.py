"""No bytes make the balancer and a target disagree where a request ends (aws-semantics A7, A9; haproxy.md 8.6, 10).

Each of the corpus is sent as GET and as POST, in every desync mode, to a strict target and to a careless one. Either it
is refused and its connection closed, or the target gets bytes that can be read in one way only; each request that the
target read is one answer that this client got; and whoever comes next, over the same pooled connections, gets its own.

The same the other way round: whatever a target writes, a client gets that answer or 502, and nobody gets the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pytest
import pytest_asyncio

from fairlead.aiokit.polling import wait_until
from fairlead.core.model import Listener, LoadBalancerAttributes, forward_to
from tests.conformance import corpus_answers
from tests.conformance.corpus_answers import POISON
from tests.conformance.corpus_requests import CASES, Case
from tests.conformance.raw import (
    Careless,
    Client,
    Incomplete,
    Reader,
    Recorder,
    Seen,
    Strict,
    Visit,
    a_world,
    answers_in,
    judge,
    requests_in,
    serve,
    talk,
)
from tests.haproxy.apps import free_port
from tests.haproxy.builders import a_group, a_routing

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

MODES: tuple[Literal["monitor", "defensive", "strictest"], ...] = ("monitor", "defensive", "strictest")
METHODS = (b"POST", b"GET")


@dataclass
class Door:
    """One way in: a mode, and the target behind it. honest: an ordinary client that stays."""

    mode: str
    port: int
    target: Recorder
    honest: Client
    asked: int = 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors() -> AsyncIterator[list[Door]]:
    """Two in each mode, of one balancer."""
    serials = [0]
    opened: list[Door] = []
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(a_world())
        for mode in MODES:
            pair = {"strict": a_door(mode, Strict, serials), "careless": a_door(mode, Careless, serials)}
            for door in pair.values():
                await stack.enter_async_context(door.target)
                await stack.enter_async_context(door.honest)
            opened += pair.values()
            routing = a_routing(
                stack=mode, check_token=f"token-{mode}", groups=tuple(a_group(name=name) for name in pair),
                listeners=tuple(Listener(port=door.port, default=forward_to(name)) for name, door in pair.items()),
                attributes=LoadBalancerAttributes(desync_mitigation=mode),
            )  # fmt: skip
            await serve(world, routing, {name: [door.target.address] for name, door in pair.items()})
        yield opened


def a_door(mode: str, kind: type[Reader], serials: list[int]) -> Door:
    port = free_port()
    return Door(mode, port, Recorder(f"{mode}-{kind.__name__}", kind, serials), Client(port))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_request_is_read_in_one_way_or_by_nobody(doors: list[Door], case: Case) -> None:
    for door in doors:
        for method in METHODS:
            await check(door, case, method)


async def check(door: Door, case: Case, method: bytes) -> None:
    """Send the case, then what an ordinary client sends; look at what came out and at what came in."""
    where = f"{case.name}, {method.decode()}, {door.target.name}"
    before = len(door.target.seen)
    said = await talk(door.port, case.raw.replace(b"METHOD", method), lambda said: case.loose or is_done(said, case))
    answers = [one for one in answers_in(said) if int(one.first) >= 200]
    for honest in ("GET", "POST", "GET"):
        door.asked += 1
        body = b"hi" if honest == "POST" else b""
        (answer,) = await door.honest.ask(honest, f"/honest-{door.asked}", body)
        expected = f"{door.target.name} {honest} /honest-{door.asked} {len(body)}"
        assert answer.body.decode() == expected, f"{where}: the next client's answer"
    if case.cut:
        await wait_until(lambda: is_tidy(door.target), 60.0, f"the end of what was cut off ({where})")
    assert judge(door.target) == [], where

    seen = [one for one in door.target.seen[before:] if not one.target.startswith("/honest")]
    made = [one for one in answers if one.all("x-serial")]
    assert [(one.all("x-serial"), one.body) for one in made] == [
        ([str(one.serial)], door.target.text(one)) for one in seen
    ], f"{where}: an answer for each request that the target read"
    refusals = [one.first for one in answers if one not in made]
    assert len(seen) in served_by(door.mode, case, method), f"{where}: {seen}, {answers}"
    assert seen or refusals or case.loose, f"{where}: refused with {answers}"
    assert all("400" <= one < "600" for one in refusals), f"{where}: refused with {answers}"


def served_by(mode: str, case: Case, method: bytes) -> set[int]:
    """How many requests may reach the target: all of the case, or, of one that the mode blames, none, or only the first
    because the connections are closed behind it. The corpus's GETs have bodies, which are to blame by themselves (A9)."""
    blamed = case.tier != "compliant" or method == b"GET"
    possible = {case.served}
    if blamed and mode != "monitor":
        possible |= set(range(1, case.served))
    if case.either or (blamed and mode == "strictest"):
        possible.add(0)
    return possible


def is_done(said: bytes, case: Case) -> bool:
    """Whether the client has what it can hope for. Of a case that must be refused: never, the balancer has to close."""
    try:
        answers = [one for one in answers_in(said) if int(one.first) >= 200]
    except Incomplete:
        return False
    if case.either and answers:
        return True
    return bool(case.served) and sum(bool(one.all("x-serial")) for one in answers) >= case.served


def is_closed(visit: Visit) -> bool:
    return not visit.open


def is_tidy(target: Recorder) -> bool:
    """Whether no open connection waits for the rest of a request."""
    return all(
        one.is_check
        or not one.open
        or requests_in(bytes(one.received[one.judged :]))[1] == len(one.received) - one.judged
        for one in target.visits
    )


async def test_defensive_closes_both_connections_behind_an_ambiguous_request(doors: list[Door]) -> None:
    for door in [one for one in doors if one.mode == "defensive"]:
        raw = b"GET /blamed HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi"
        (answer,) = answers_in(await talk(door.port, raw, lambda _: False))
        assert answer.body.decode() == f"{door.target.name} GET /blamed 2"
        (visit,) = [one for one in door.target.visits if b"GET /blamed " in one.received]
        await wait_until(partial(is_closed, visit), 60.0, "the end of the target's connection")
        assert judge(door.target) == []


class Rogue(Recorder):
    """A target that writes what its path asks for: an answer of the corpus, or N bytes and poison behind them."""

    def reply(self, one: Seen) -> bytes:
        name = one.target.rpartition("/")[2]
        if one.target.startswith("/long/"):
            return f"HTTP/1.1 200 OK\r\nContent-Length: {name}\r\n\r\n".encode() + b"x" * int(name) + POISON
        return ANSWERS[name].raw if name in ANSWERS else super().reply(one)

    def hangs_up(self, one: Seen) -> bool:
        name = one.target.rpartition("/")[2]
        return name in ANSWERS and ANSWERS[name].ends


ANSWERS = {case.name: case for case in corpus_answers.CASES}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rogue() -> AsyncIterator[tuple[int, Rogue]]:
    """A port, and the target behind it."""
    target, port = Rogue("rogue", Strict, [0]), free_port()
    async with target, a_world() as world:
        await serve(world, a_routing(port), {"web": [target.address]})
        yield port, target


@pytest.mark.parametrize("case", corpus_answers.CASES, ids=lambda case: case.name)
async def test_the_next_client_never_sees_anothers_answer(rogue: tuple[int, Rogue], case: corpus_answers.Case) -> None:
    port, target = rogue
    for method in (case.method,) if case.method != "GET" else ("GET", "POST"):
        async with Client(port) as first, Client(port) as second:
            try:
                answer = (await first.ask(method, f"/{case.name}"))[-1]
                assert int(answer.first) == case.status
                assert answer.body == case.body or case.status == 502
                gone = case.closes
            except Incomplete:
                # A pooled connection that dies is tried again, and in the end answered with silence or 502.
                assert case.status == corpus_answers.CLOSED or case.ends
                gone = True
            for client in (second,) if gone else (first, second, first):
                for again in ("GET", "POST"):
                    path = f"/{case.name}/{method}/honest"
                    (answer,) = await client.ask(again, path)
                    assert answer.body.decode() == f"rogue {again} {path} 0"
    assert [problem for visit in target.visits for problem in [visit.problem] if problem] == []


async def test_what_a_target_says_too_much_reaches_nobody_whatever_the_length(rogue: tuple[int, Rogue]) -> None:
    """The poison begins before, at and behind the ends of what is read at once, while others want the connection."""
    port, target = rogue
    done = asyncio.Event()

    async def honest(number: int) -> int:
        asked = 0
        async with Client(port) as client:
            while not done.is_set():
                asked += 1
                (answer,) = await client.ask("GET", f"/{number}-{asked}")
                assert answer.body.decode() == f"rogue GET /{number}-{asked} 0"
        return asked

    others = [asyncio.create_task(honest(number)) for number in range(6)]
    for length in (
        many * size + more for many in range(1, 6) for size in (15360, 16384) for more in range(-150, 60, 11)
    ):
        async with Client(port) as client:
            (answer,) = await client.ask("GET", f"/long/{length}")
        assert answer.body == b"x" * length
    done.set()
    assert min(await asyncio.gather(*others)) > 50
    assert target.visits
