"""GET /stacks/NAME/explain: the question reaches the supervisor as it was asked, and its refusals come back."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.errors import NotFound, UsageError
from tests.api.homes import ScriptedSupervisor, a_daemon


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []

    async def explain(self: ScriptedSupervisor, stack: str, service: str, at: str | None = None) -> dict[str, Any]:
        seen.append((stack, service, at))
        if service == "wbe":
            raise NotFound("there is no service 'wbe' in shop", "it has web; did you mean 'web'?")
        return {"answer": f"{service} has 2 of 2 healthy \udcff."}

    monkeypatch.setattr(ScriptedSupervisor, "explain", explain)
    return seen


async def test_service_and_moment_arrive_as_they_were_asked(asked: list[Any]) -> None:
    async with a_daemon() as daemon:
        now = await daemon.ask(lambda client: client.explain("shop", "web"))
        await daemon.ask(lambda client: client.explain("a b", "w/x", "2026-01-01T10:00:00+01:00"))
    assert now == {"answer": "web has 2 of 2 healthy \udcff."}
    assert asked == [("shop", "web", None), ("a b", "w/x", "2026-01-01T10:00:00+01:00")]


async def test_an_unknown_service_is_refused_with_the_one_that_was_meant(asked: list[Any]) -> None:
    async with a_daemon() as daemon:
        with pytest.raises(NotFound, match="did you mean 'web'"):
            await daemon.ask(lambda client: client.explain("shop", "wbe"))


async def test_a_question_about_no_service_is_refused(asked: list[Any]) -> None:
    async with a_daemon() as daemon:
        with pytest.raises(UsageError, match="service"):
            await daemon.ask(lambda client: client._ask("GET", "/stacks/shop/explain"))
    assert asked == []
