"""A short-lived home with a real API server over a scripted supervisor, for the stories of tests/api."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fairlead.api.client import Client
from fairlead.api.server import ApiServer
from fairlead.control.supervisor import Progress, Supervisor, UpRequest
from fairlead.errors import DeploymentFailed, NotFound
from fairlead.metrics.query import Query


class ScriptedSupervisor(Supervisor):
    """Answers as the control plane would. `release` lets a running `up` end; `fail` is raised by the next call."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.release = asyncio.Event()
        self.finished = asyncio.Event()
        self.fail: Exception | None = None
        self.idle = True
        self.who = ""
        self.told = Told()
        self.journal = self.told  # type: ignore[assignment]

    async def status(self, stack: str | None = None, *, explain: bool = False) -> dict[str, Any]:
        self._maybe_fail()
        self.asked.append(("status", stack, explain))
        if stack not in (None, "shop"):
            raise NotFound(f"there is no stack '{stack}'", "this home has shop", "fairlead status")
        return {"stacks": [{"name": "shop\udcff"}], "balancer": {"nodes": []}, "daemon": {"pid": 1, "version": "0"}}

    async def up(self, request: UpRequest, progress: Progress) -> dict[str, Any]:
        self.asked.append(request)
        progress({"text": "building", "service": "web"})
        await self.release.wait()
        self._maybe_fail()
        progress({"text": "healthy", "service": "web", "instance": "web-1"})
        self.finished.set()
        return {"stack": "shop", "changed": True, "summary": ["web: 2 instances"], "urls": ["http://127.0.0.1:1"]}

    async def cancel(self, stack: str, who: str = "") -> dict[str, Any]:
        self.who = who
        self.fail = DeploymentFailed("the deployment was given up", "you asked for it")
        self.release.set()
        return {"text": f"nothing of {stack} runs"}

    async def down(self, stack: str, progress: Progress) -> dict[str, Any]:
        self._maybe_fail()
        progress({"text": "draining web-1"})
        return {"stack": stack, "text": "stopped"}

    async def plan(self, request: UpRequest) -> dict[str, Any]:
        self.asked.append(request)
        return {"stack": "shop", "first": True, "changed": True, "changes": [], "unenforced": [], "urls": []}

    async def scale(
        self,
        stack: str,
        service: str,
        desired: int | None,
        progress: Progress,
        *,
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> dict[str, Any]:
        self.asked.append(("scale", stack, service, desired, minimum, maximum))
        progress({"text": "web-3 launched", "stack": stack})
        return {"stack": stack, "service": service, "desired": desired, "declared": 2, "text": "web has 3 instances"}

    async def suspend(self, stack: str, service: str, processes: Sequence[str], *, on: bool) -> dict[str, Any]:
        self.asked.append(("suspend" if on else "resume", stack, service, tuple(processes)))
        return {"stack": stack, "service": service, "suspended": list(processes), "text": "done"}

    async def standby(self, stack: str, instance: str, *, decrement: bool = False) -> dict[str, Any]:
        self.asked.append(("standby", stack, instance, decrement))
        return {"stack": stack, "instance": instance, "text": "on standby"}

    async def restart(self, stack: str, service: str | None, progress: Progress) -> dict[str, Any]:
        self.asked.append(("restart", stack, service))
        return {"stack": stack, "changed": True, "summary": [], "urls": []}

    async def drain(self, stack: str, instance: str, *, force: bool = False) -> dict[str, Any]:
        self.asked.append(("drain", stack, instance, force))
        return {"stack": stack, "instance": instance, "text": "drained"}

    async def give_back(self, stack: str, instance: str) -> dict[str, Any]:
        self.asked.append(("give_back", stack, instance))
        return {"stack": stack, "instance": instance, "text": "returned"}

    async def open_instance(self, stack: str, instance: str, seconds: float) -> dict[str, Any]:
        self._maybe_fail()
        self.asked.append(("open", stack, instance, seconds))
        url = "http://127.0.0.1:40001/?fairlead-open=hunter2"
        return {"url": url, "port": 40001, "until": "2026-11-21T12:00:00Z", "text": "open"}

    async def close_instance(self, stack: str, instance: str) -> dict[str, Any]:
        self.asked.append(("close", stack, instance))
        return {"stack": stack, "instance": instance, "text": "closed"}

    async def protect(self, stack: str, instance: str, on: bool) -> dict[str, Any]:
        self.asked.append(("protect", stack, instance, on))
        return {"stack": stack, "instance": instance, "text": "protected"}

    async def terminate(
        self, stack: str, instance: str, *, now: bool = False, decrement: bool = False, progress: Progress
    ) -> dict[str, Any]:
        self.asked.append(("terminate", stack, instance, now, decrement))
        return {"stack": stack, "instance": instance, "text": "ended"}

    def entry(self, stack: str, *, service: str | None = None, instance: str | None = None) -> dict[str, Any]:
        self.asked.append(("entry", stack, service, instance))
        return {"argv": [], "environment": {"TOKEN": "t"}, "working_folder": "/", "user": None}

    async def shutdown(self, progress: Progress) -> dict[str, Any]:
        return {"text": "nothing runs"}

    def is_idle(self) -> bool:
        return self.idle

    def events(self, stack: str | None, limit: int, after: int) -> list[dict[str, Any]]:
        self.asked.append((stack, limit, after))
        return [{"id": after + 1, "text": "launched"}]

    async def metrics(self, query: Query) -> dict[str, Any]:
        self.asked.append(query)
        return {"stack": query.stack, "series": []}

    def prometheus(self) -> str:
        return 'fairlead_requests_total{stack="shop"} 7\n'

    async def check(self, stack: str) -> dict[str, Any]:
        self._maybe_fail()
        return {"stack": stack, "token": "t", "requests": 7, "listeners": []}

    def _maybe_fail(self) -> None:
        if self.fail is not None:
            raise self.fail


class Facts:
    """The store's notes."""

    def __init__(self) -> None:
        self.noted: dict[str, str] = {}

    def fact(self, name: str) -> str | None:
        return self.noted.get(name)

    def note(self, name: str, value: str | None) -> None:
        self.noted.pop(name, None)
        if value is not None:
            self.noted[name] = value


class Told:
    """A journal that remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, stack: str, kind: str, text: str) -> None:
        self.events.append(f"{kind}: {text}")


class Daemon:
    """The running server, its supervisor, and a client for it."""

    def __init__(self, supervisor: ScriptedSupervisor, client: Client, server: ApiServer, path: str) -> None:
        self.supervisor, self.client, self.server, self.path = supervisor, client, server, path
        self.shut_down = asyncio.Event()

    async def ask(self, call: Callable[[Client], Any]) -> Any:
        """Run a client's call as another process would: in a thread, off the loop."""
        return await asyncio.wait_for(asyncio.to_thread(call, self.client), 10)


@asynccontextmanager
async def a_daemon(facts: Facts | None = None) -> AsyncIterator[Daemon]:
    """facts: what an earlier daemon of that home has noted."""
    folder = tempfile.mkdtemp()
    path = f"{folder}/api.sock"
    supervisor = ScriptedSupervisor()
    shut_down = asyncio.Event()
    server = ApiServer(supervisor, facts or Facts(), path, on_shutdown=shut_down.set)
    await server.start()
    daemon = Daemon(supervisor, Client(path), server, path)
    daemon.shut_down = shut_down
    try:
        yield daemon
    finally:
        await server.stop()
        shutil.rmtree(folder)
