"""What the daemon answers: every route, its request and its reply; one shape for every error.

    GET    /version                {"version", "pid"}
    GET    /status?stack=&explain= the contract of `fairlead status --json`
    POST   /stacks                 UpBody -> stream, ending with {"stack", "changed", "summary", "urls"}
    POST   /stacks/NAME/cancel     {"text"}
    DELETE /stacks/NAME            stream, ending with {"stack", "text"}
    GET    /stacks/NAME/check      what `fairlead check` needs
    GET    /events?stack=&limit=&after=    {"events": [...]}
    POST   /shutdown               stream; when it has ended, so does the daemon, with status 0
    POST   /leave                  {"leaves"}: the daemon ends if no stack is up and none is being brought up

A stream is NDJSON (see `work`). An error is `{"error": {code, what, why, next, place, detail}}` with status 400, 404,
409 or 500; once a stream has begun it is the stream's last line instead. `server` serves this on a Unix socket.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fairlead.api.bodies import MOST_BYTES, EventsQuery, StatusQuery, UpBody
from fairlead.api.work import Act, LongWork, unexpected
from fairlead.control.supervisor import Progress, Supervisor, UpRequest
from fairlead.errors import DeploymentFailed, FairleadError, HomeBusy, NotFound, PortInUse, SpecError, UsageError

STATUSES: tuple[tuple[type[FairleadError], int], ...] = (
    (NotFound, 404),
    (SpecError, 400),
    (UsageError, 400),
    (PortInUse, 409),
    (HomeBusy, 409),
    (DeploymentFailed, 409),
    (FairleadError, 500),
)
"""The HTTP status of each kind of error; the first that fits."""


class Api:
    """The routes over one supervisor. `on_shutdown` is called once `POST /shutdown` has ended everything."""

    def __init__(
        self, supervisor: Supervisor, work: LongWork, *, version: str, pid: int, on_shutdown: Callable[[], None]
    ) -> None:
        self._supervisor, self._work = supervisor, work
        self._identity = {"version": version, "pid": pid}
        self._on_shutdown = on_shutdown

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/version", self._version, methods=["GET"]),
                Route("/status", self._status, methods=["GET"]),
                Route("/stacks", self._up, methods=["POST"]),
                Route("/stacks/{name}", self._down, methods=["DELETE"]),
                Route("/stacks/{name}/cancel", self._cancel, methods=["POST"]),
                Route("/stacks/{name}/check", self._check, methods=["GET"]),
                Route("/events", self._events, methods=["GET"]),
                Route("/shutdown", self._shutdown, methods=["POST"]),
                Route("/leave", self._leave, methods=["POST"]),
            ],
            exception_handlers={
                FairleadError: _failed,
                ValidationError: _invalid,
                HTTPException: _no_such_route,
                Exception: _broken,
            },
        )

    async def _version(self, request: Request) -> Response:
        return _json(self._identity)

    async def _status(self, request: Request) -> Response:
        query = StatusQuery.model_validate(dict(request.query_params))
        return _json(await self._supervisor.status(query.stack, explain=query.explain))

    async def _up(self, request: Request) -> Response:
        body = UpBody.model_validate_json(await _bounded_body(request))
        wanted = UpRequest(path=body.path, dotenv=body.dotenv, env=body.env)
        return self._stream(f"up {body.path}", lambda progress: self._supervisor.up(wanted, progress))

    async def _down(self, request: Request) -> Response:
        name = request.path_params["name"]
        return self._stream(f"down {name}", lambda progress: self._supervisor.down(name, progress))

    async def _cancel(self, request: Request) -> Response:
        return _json(await self._supervisor.cancel(request.path_params["name"]))

    async def _check(self, request: Request) -> Response:
        return _json(await self._supervisor.check(request.path_params["name"]))

    async def _events(self, request: Request) -> Response:
        query = EventsQuery.model_validate(dict(request.query_params))
        return _json({"events": self._supervisor.events(query.stack, query.limit, query.after)})

    async def _shutdown(self, request: Request) -> Response:
        async def act(progress: Progress) -> dict[str, Any]:
            result = await self._supervisor.shutdown(progress)
            # The stream still gets its last line: the server lets open streams end before it goes.
            self._on_shutdown()
            return result

        return self._stream("shutdown", act)

    async def _leave(self, request: Request) -> Response:
        leaves = self._supervisor.is_idle()
        if leaves:
            self._on_shutdown()
        return _json({"leaves": leaves})

    def _stream(self, name: str, act: Act) -> Response:
        return StreamingResponse(self._work.start(name, act), media_type="application/x-ndjson")


async def _bounded_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise UsageError("the request is too long", f"a body may have {MOST_BYTES} bytes")
    return bytes(body)


def _json(content: Any, status: int = 200) -> Response:
    # ASCII only: file names may hold bytes that are no UTF-8, and so no character that could be encoded.
    return Response(json.dumps(content).encode(), status, media_type="application/json")


def _error(error: FairleadError, status: int | None = None) -> Response:
    if status is None:
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
    return _json({"error": error.to_json()}, status)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, FairleadError)
    return _error(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)
    # `msg` and `loc` only: the input itself may hold secrets.
    problems = [": ".join([*map(str, problem["loc"]), problem["msg"]]) for problem in error.errors()]
    return _error(UsageError("the request is not valid", "; ".join(problems)))


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path} is not part of this API"
    return _error(NotFound(what, error.detail), error.status_code)


async def _broken(request: Request, error: Exception) -> Response:
    # Starlette raises it again after this answer, and uvicorn logs it with its traceback.
    return _error(unexpected(error), 500)
