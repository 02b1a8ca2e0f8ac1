"""The conversation with a runtime socket, with a partner that the test plays."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from fairlead.errors import BalancerError
from fairlead.haproxy.commands import command
from fairlead.haproxy.runtime import BATCH, Runtime

pytestmark = pytest.mark.live

Answer = Callable[[str], str]


class Partner:
    """Speaks HAProxy's prompt mode; `answers` decides what to say to a line, None to hang up."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: list[str] = []
        self.connections = 0
        self.answers: Callable[[str], Awaitable[str | None]] = self.obey
        self.writers: list[asyncio.StreamWriter] = []

    async def obey(self, line: str) -> str | None:
        return f"answer to {line}\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while line := (await reader.readline()).decode().rstrip("\n"):
            self.lines.append(line)
            answer = "" if line == "prompt" else await self.answers(line)
            if answer is None:
                break
            writer.write(answer.encode() + b"\n> ")
            await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def partner() -> AsyncIterator[Partner]:
    with tempfile.TemporaryDirectory() as folder:
        partner = Partner(f"{folder}/h.sock")
        server = await asyncio.start_unix_server(partner.serve, partner.path)
        yield partner
        server.close()
        for writer in partner.writers:
            writer.close()
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def runtime(partner: Partner) -> AsyncIterator[Runtime]:
    runtime = Runtime(partner.path, timeout=0.3)
    yield runtime
    runtime.close()


def ready(number: int = 1) -> list[object]:
    return [command("ready", "s.web", f"web-{number}")]


async def test_one_connection_serves_many_questions(partner: Partner, runtime: Runtime) -> None:
    assert [await runtime.ask("show info"), await runtime.ask("show stat")] == [
        "answer to show info",
        "answer to show stat",
    ]
    assert (partner.connections, partner.lines[0]) == (1, "prompt")


async def test_several_questions_travel_together(partner: Partner, runtime: Runtime) -> None:
    assert await runtime.ask_all(["show info", "show stat"]) == ["answer to show info", "answer to show stat"]
    assert await runtime.ask_all([]) == []


async def test_questions_asked_at_once_get_their_own_answers(runtime: Runtime) -> None:
    lines = [f"show {number}" for number in range(20)]
    answers = await asyncio.gather(*(runtime.ask(line) for line in lines))
    assert answers == [f"answer to {line}" for line in lines]


async def test_more_commands_than_fit_in_one_write_are_all_sent(partner: Partner, runtime: Runtime) -> None:
    async def obey(_line: str) -> str | None:
        return ""

    partner.answers = obey
    commands = [command("ready", "s.web", f"web-{number}") for number in range(BATCH + 5)]
    await runtime.run(commands)
    assert partner.lines[1:] == [one.line for one in commands]


async def test_a_refused_command_is_told_and_the_others_are_sent(partner: Partner, runtime: Runtime) -> None:
    async def refuse_the_first(line: str) -> str | None:
        return "No such server.\n" if "web-1" in line else ""

    partner.answers = refuse_the_first
    with pytest.raises(BalancerError, match="No such server"):
        await runtime.run([command("ready", "s.web", f"web-{number}") for number in (1, 2)])
    assert len(partner.lines) == 3


async def test_a_connection_that_was_closed_while_idle_is_opened_again(partner: Partner, runtime: Runtime) -> None:
    await runtime.ask("show info")
    partner.writers[0].close()
    await asyncio.sleep(0.01)
    assert await runtime.ask("show stat") == "answer to show stat"
    assert partner.connections == 2


async def test_the_last_connection_is_not_opened_again(partner: Partner, runtime: Runtime) -> None:
    await runtime.ask("show info")
    runtime.keep_last()
    assert await runtime.ask("show stat")
    partner.writers[0].close()
    await asyncio.sleep(0.01)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await runtime.ask("show stat")
    assert partner.connections == 1


async def test_silence_is_a_timeout_and_the_next_question_gets_its_own_answer(
    partner: Partner, runtime: Runtime
) -> None:
    async def slow(line: str) -> str | None:
        await asyncio.sleep(0.5 if line == "slow" else 0)
        return f"answer to {line}\n"

    partner.answers = slow
    with pytest.raises(TimeoutError):
        await runtime.ask("slow")
    assert await runtime.ask("quick") == "answer to quick"


async def test_an_end_in_mid_answer_is_an_error_of_the_connection(partner: Partner, runtime: Runtime) -> None:
    async def hang_up(_line: str) -> str | None:
        return None

    partner.answers = hang_up
    with pytest.raises(ConnectionError, match=r"h\.sock"):
        await runtime.ask("show info")


async def test_nobody_there_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="No such file"):
        await Runtime("/nowhere/h.sock").ask("show info")
