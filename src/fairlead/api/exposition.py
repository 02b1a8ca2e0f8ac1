"""`/metrics` over TCP, on the loopback interface, once the user has asked for it: so that a Prometheus can get in.

In: where to answer, kept in the store. Out: a small server that knows this one path, brought back at every start of the
daemon. The law: never on an address that other machines reach, and never to a page in somebody's browser that has made
a name of its own point here (DNS rebinding): a Host that is a name must be one that the user allowed. What cannot be
bound at the daemon's start is told once and tried again.
"""

from __future__ import annotations

import asyncio
import errno
import json
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fairlead.api.serving import Serving
from fairlead.api.strangers import Stranger
from fairlead.errors import BalancerError, FairleadError, PortInUse, UsageError
from fairlead.metrics.prometheus import CONTENT_TYPE

FACT = "metrics_listener"

BACKLOG = 16

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(?::[0-9]*)?")
"""A Host: name or address, and port. Browsers take more for a name (`a{b.test`), which nobody can allow."""

_ONCE = {"Connection": "close"}

PACE = 5.0
"""Seconds between two attempts to bind what could not be had at the daemon's start."""


class Facts(Protocol):
    """Where it is remembered: the store."""

    def fact(self, name: str) -> str | None: ...

    def note(self, name: str, value: str | None) -> None: ...


class Exposition:
    """text: what is answered, at the moment of asking. told: called with what keeps it from listening, once."""

    def __init__(self, text: Callable[[], str], facts: Facts, told: Callable[[str], object]) -> None:
        self._text, self._facts, self._told = text, facts, told
        self._serving: Serving | None = None
        self._hosts: tuple[str, ...] = ()
        self._trying: asyncio.Task[None] | None = None
        self.url: str | None = None
        """Where it answers now."""

    async def start(self) -> None:
        """Answer where it was asked to, as soon as that can be had."""
        kept = self._kept()
        if kept is not None:
            self._trying = asyncio.create_task(self._until_listening(*kept), name="listen for Prometheus")

    async def listen(self, address: str, port: int, hosts: Sequence[str] = ()) -> str:
        """Answer there from now on, and nowhere else; the URL. hosts: names by which it may be asked, beside addresses
        and localhost. UsageError: others reach that address; PortInUse."""
        if not ip_address(address).is_loopback:
            raise UsageError(
                f"metrics are not answered on {address}",
                "other machines reach it, and whoever asks is not asked who they are",
                "Use 127.0.0.1, and let another machine in through a service of the load balancer with "
                f"`targets: ['127.0.0.1:{port}']`, as docs/observability/README.md shows.",
            )
        wanted = json.dumps({"address": address, "port": port, "hosts": list(hosts)})
        if self.url is not None and self._facts.fact(FACT) == wanted:
            return self.url
        before = self._kept()
        await self._close()
        try:
            url = await self._open(address, port, tuple(hosts))
        except FairleadError:
            if before is not None:
                with suppress(FairleadError):
                    await self._open(*before)
            raise
        self._facts.note(FACT, wanted)
        return url

    async def no_listen(self) -> None:
        """Answer on the daemon's own socket only."""
        self._facts.note(FACT, None)
        await self._close()

    async def stop(self) -> None:
        """The daemon leaves; the next one listens again."""
        await self._close()

    def _kept(self) -> tuple[str, int, tuple[str, ...]] | None:
        try:
            kept = json.loads(self._facts.fact(FACT) or "null")
            return kept and (str(kept["address"]), int(kept["port"]), tuple(map(str, kept["hosts"])))
        except (ValueError, KeyError, TypeError):
            return None

    async def _until_listening(self, address: str, port: int, hosts: tuple[str, ...]) -> None:
        told = False
        while True:
            try:
                await self._open(address, port, hosts)
                return
            except FairleadError as problem:
                if not told:
                    self._told(f"metrics: {problem.sentence}; it is tried again")
                told = True
            await asyncio.sleep(PACE)

    async def _open(self, address: str, port: int, hosts: tuple[str, ...]) -> str:
        listening = _bound(address, port)
        app = Starlette(routes=[Route("/metrics", self._answer, methods=["GET"])])
        serving = Serving(app, "metrics listener", Stranger)
        try:
            await serving.start(listening)
        except BaseException:
            listening.close()
            raise
        self._serving, self._hosts = serving, hosts
        self.url = f"http://{f'[{address}]' if ':' in address else address}:{port}/metrics"
        return self.url

    async def _close(self) -> None:
        """No longer answer, nor try to."""
        trying, self._trying = self._trying, None
        if trying is not None:
            trying.cancel()
            await asyncio.wait([trying])
        serving, self._serving, self.url = self._serving, None, None
        if serving is not None:
            await serving.stop()

    async def _answer(self, request: Request) -> Response:
        # As sent: of a Host that it cannot read Starlette makes the address that was asked.
        for said in request.headers.getlist("host"):
            if not self._is_ours(said):
                why = f"{said!r} is not a name that metrics are asked by here; see `fairlead metrics --help`, --host\n"
                return PlainTextResponse(why, 403, _ONCE)
        # Apart: it takes tens of milliseconds, the first time more.
        text = await asyncio.to_thread(self._text)
        return Response(text, media_type=CONTENT_TYPE, headers=_ONCE)

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        name = match[1].lower() if match else ""
        return _is_address(name.strip("[]")) or name == "localhost" or name in self._hosts


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _bound(address: str, port: int) -> socket.socket:
    """A socket that listens there; PortInUse, BalancerError."""
    listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        kind = PortInUse if error.errno == errno.EADDRINUSE else BalancerError
        what = f"metrics cannot be answered on {address} port {port}"
        raise kind(what, error.strerror or str(error), "Choose another port.") from error
    return listening
