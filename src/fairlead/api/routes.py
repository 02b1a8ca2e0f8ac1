"""What the daemon answers: every route, its request and its reply; one shape for every error.

    GET    /version                {"version", "pid"}
    GET    /status?stack=&explain= the contract of `fairlead status --json`
    POST   /stacks                 UpBody -> stream, ending with {"stack", "changed", "summary", "urls"}
    POST   /plan                   PlanBody -> {"stack", "first", "changed", "changes", "unenforced", "notes", "urls"}
    POST   /stacks/NAME/cancel     CancelBody -> {"text"}
    DELETE /stacks/NAME            stream, ending with {"stack", "text"}
    GET    /stacks/NAME/check      what `fairlead check` needs
    POST   /stacks/NAME/scale      ScaleBody -> stream, ending with {"stack", "service", "desired", "declared", ...}
    POST   /stacks/NAME/suspend    SuspendBody -> {"stack", "service", "suspended", "text"}
    POST   /stacks/NAME/resume     the same
    POST   /stacks/NAME/restart    RestartBody -> stream, ending as that of `up`
    GET    /stacks/NAME/entry?service=&instance=    how to start a program there; holds secrets
    POST   /stacks/NAME/instances/ID/drain          DrainBody -> {"stack", "instance", "text"}
    POST   /stacks/NAME/instances/ID/return         the same
    POST   /stacks/NAME/instances/ID/protect        ProtectBody -> the same
    POST   /stacks/NAME/instances/ID/standby        StandbyBody -> the same
    POST   /stacks/NAME/instances/ID/terminate      TerminateBody -> stream, ending with the same
    POST   /stacks/NAME/instances/ID/open           OpenBody -> the same and {"url", "port", "until"}; url is a secret
    POST   /stacks/NAME/instances/ID/close          {"stack", "instance", "text"}
    GET    /jobs?stack=            {"jobs": [...]}: docs/reference/jobs.md
    POST   /stacks/NAME/jobs/JOB   {"stack", "job", "run"}: started by hand; it goes on by itself
    GET    /stacks/NAME/runs/ID    the run, with the last lines of its log
    GET    /stacks/NAME/explain?service=&at=        docs/reference/explain.md
    GET    /stacks/NAME/metrics?service=&zone=&target=&since=&until=&period=    docs/reference/metrics.md
    GET    /metrics                Prometheus' text
    GET    /metrics/listener       {"url": where else `/metrics` is answered, or null}
    PUT    /metrics/listener       ListenerBody -> {"url", "text"}: answer there, from now on
    DELETE /metrics/listener       {"text"}: no longer
    GET    /events?stack=&limit=&after=    {"events": [...]}
    POST   /shutdown               stream; when it has ended, so does the daemon, with status 0
    POST   /handover               {"version", "pid"}: the daemon ends with status 0, and all it runs goes on
    POST   /leave                  {"leaves"}: the daemon ends if no stack is up and none is being brought up

And those of `data_routes` and `secret_routes`. A stream is NDJSON (see `work`). An error is `{"error": {code, what,
why, next, place, detail}}` with status 400, 404, 409 or 500; once a stream has begun it is the stream's last line
instead. `server` serves this on a Unix socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fairlead.api.answers import as_json, bounded_body
from fairlead.api.bodies import (
    CancelBody,
    DrainBody,
    EntryQuery,
    EventsQuery,
    ExplainQuery,
    JobsQuery,
    ListenerBody,
    MetricsQuery,
    OpenBody,
    PlanBody,
    ProtectBody,
    RestartBody,
    ScaleBody,
    StandbyBody,
    StatusQuery,
    SuspendBody,
    TerminateBody,
    UpBody,
)
from fairlead.api.data_routes import DataRoutes
from fairlead.api.exposition import Exposition
from fairlead.api.secret_routes import SecretRoutes
from fairlead.api.work import Act, LongWork, unexpected
from fairlead.control.supervisor import Progress, Supervisor, UpRequest
from fairlead.errors import (
    CertificateError,
    DeploymentFailed,
    FairleadError,
    HomeBusy,
    NotFound,
    PortInUse,
    SpecError,
    UsageError,
)
from fairlead.metrics.prometheus import CONTENT_TYPE

STATUSES: tuple[tuple[type[FairleadError], int], ...] = (
    (NotFound, 404),
    (SpecError, 400),
    (UsageError, 400),
    (PortInUse, 409),
    (CertificateError, 409),
    (HomeBusy, 409),
    (DeploymentFailed, 409),
    (FairleadError, 500),
)
"""The HTTP status of each kind of error; the first that fits."""


class Api:
    """The routes over one supervisor. exposition: where else metrics are answered. `on_shutdown` is called once `POST
    /shutdown` has ended everything."""

    def __init__(
        self,
        supervisor: Supervisor,
        work: LongWork,
        exposition: Exposition,
        *,
        version: str,
        pid: int,
        on_shutdown: Callable[[], None],
    ) -> None:
        self._supervisor, self._work, self._exposition = supervisor, work, exposition
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
                Route("/plan", self._plan, methods=["POST"]),
                Route("/stacks/{name}/check", self._check, methods=["GET"]),
                Route("/stacks/{name}/scale", self._scale, methods=["POST"]),
                Route("/stacks/{name}/suspend", self._suspend, methods=["POST"]),
                Route("/stacks/{name}/resume", self._suspend, methods=["POST"]),
                Route("/stacks/{name}/restart", self._restart, methods=["POST"]),
                Route("/stacks/{name}/entry", self._entry, methods=["GET"]),
                Route("/stacks/{name}/instances/{id}/drain", self._drain, methods=["POST"]),
                Route("/stacks/{name}/instances/{id}/return", self._give_back, methods=["POST"]),
                Route("/stacks/{name}/instances/{id}/protect", self._protect, methods=["POST"]),
                Route("/stacks/{name}/instances/{id}/standby", self._standby, methods=["POST"]),
                Route("/stacks/{name}/instances/{id}/terminate", self._terminate, methods=["POST"]),
                Route("/stacks/{name}/instances/{id}/open", self._open, methods=["POST"]),
                Route("/stacks/{name}/instances/{id}/close", self._close, methods=["POST"]),
                Route("/stacks/{name}/explain", self._explain, methods=["GET"]),
                Route("/jobs", self._jobs, methods=["GET"]),
                Route("/stacks/{name}/jobs/{job}", self._run_job, methods=["POST"]),
                Route("/stacks/{name}/runs/{id}", self._run, methods=["GET"]),
                Route("/stacks/{name}/metrics", self._metrics, methods=["GET"]),
                Route("/metrics", self._prometheus, methods=["GET"]),
                Route("/metrics/listener", self._listener, methods=["GET"]),
                Route("/metrics/listener", self._listen, methods=["PUT"]),
                Route("/metrics/listener", self._no_listen, methods=["DELETE"]),
                Route("/events", self._events, methods=["GET"]),
                Route("/shutdown", self._shutdown, methods=["POST"]),
                Route("/handover", self._handover, methods=["POST"]),
                Route("/leave", self._leave, methods=["POST"]),
                *DataRoutes(self._supervisor, self._work).routes(),
                *SecretRoutes(self._supervisor).routes(),
            ],
            exception_handlers={
                FairleadError: _failed,
                ValidationError: _invalid,
                HTTPException: _no_such_route,
                Exception: _broken,
            },
        )

    async def _version(self, request: Request) -> Response:
        return as_json(self._identity)

    async def _status(self, request: Request) -> Response:
        query = StatusQuery.model_validate(dict(request.query_params))
        return as_json(await self._supervisor.status(query.stack, explain=query.explain))

    async def _up(self, request: Request) -> Response:
        body = UpBody.model_validate_json(await bounded_body(request))
        wanted = UpRequest(path=body.path, dotenv=body.dotenv, env=body.env, who=body.who)
        return self._stream(f"up {body.path}", lambda progress: self._supervisor.up(wanted, progress))

    async def _down(self, request: Request) -> Response:
        name = request.path_params["name"]
        return self._stream(f"down {name}", lambda progress: self._supervisor.down(name, progress))

    async def _cancel(self, request: Request) -> Response:
        body = CancelBody.model_validate_json(await bounded_body(request))
        return as_json(await self._supervisor.cancel(request.path_params["name"], body.who))

    async def _check(self, request: Request) -> Response:
        return as_json(await self._supervisor.check(request.path_params["name"]))

    async def _plan(self, request: Request) -> Response:
        body = PlanBody.model_validate_json(await bounded_body(request))
        return as_json(await self._supervisor.plan(UpRequest(path=body.path, dotenv=body.dotenv, env=body.env)))

    async def _scale(self, request: Request) -> Response:
        name, body = request.path_params["name"], ScaleBody.model_validate_json(await bounded_body(request))
        return self._stream(
            f"scale {name} {body.service}",
            lambda progress: self._supervisor.scale(
                name, body.service, body.desired, progress, minimum=body.minimum, maximum=body.maximum
            ),
        )

    async def _suspend(self, request: Request) -> Response:
        name, body = request.path_params["name"], SuspendBody.model_validate_json(await bounded_body(request))
        on = request.url.path.endswith("/suspend")
        return as_json(await self._supervisor.suspend(name, body.service, body.processes, on=on))

    async def _restart(self, request: Request) -> Response:
        name, body = request.path_params["name"], RestartBody.model_validate_json(await bounded_body(request))
        return self._stream(
            f"restart {name} {body.service or ''}",
            lambda progress: self._supervisor.restart(name, body.service, progress),
        )

    async def _entry(self, request: Request) -> Response:
        query = EntryQuery.model_validate(dict(request.query_params))
        name = request.path_params["name"]
        return as_json(self._supervisor.entry(name, service=query.service, instance=query.instance))

    async def _drain(self, request: Request) -> Response:
        name, id = _instance_of(request)
        body = DrainBody.model_validate_json(await bounded_body(request))
        return as_json(await self._supervisor.drain(name, id, force=body.force))

    async def _give_back(self, request: Request) -> Response:
        return as_json(await self._supervisor.give_back(*_instance_of(request)))

    async def _protect(self, request: Request) -> Response:
        name, id = _instance_of(request)
        body = ProtectBody.model_validate_json(await bounded_body(request))
        return as_json(await self._supervisor.protect(name, id, body.on))

    async def _standby(self, request: Request) -> Response:
        name, id = _instance_of(request)
        body = StandbyBody.model_validate_json(await bounded_body(request))
        return as_json(await self._supervisor.standby(name, id, decrement=body.decrement))

    async def _terminate(self, request: Request) -> Response:
        name, id = _instance_of(request)
        body = TerminateBody.model_validate_json(await bounded_body(request))
        return self._stream(
            f"terminate {name} {id}",
            lambda progress: self._supervisor.terminate(
                name, id, now=body.now, decrement=body.decrement, progress=progress
            ),
        )

    async def _open(self, request: Request) -> Response:
        name, id = _instance_of(request)
        body = OpenBody.model_validate_json(await bounded_body(request))
        return as_json({"stack": name, "instance": id, **await self._supervisor.open_instance(name, id, body.seconds)})

    async def _close(self, request: Request) -> Response:
        return as_json(await self._supervisor.close_instance(*_instance_of(request)))

    async def _explain(self, request: Request) -> Response:
        query = ExplainQuery.model_validate(dict(request.query_params))
        return as_json(await self._supervisor.explain(request.path_params["name"], query.service, query.at))

    async def _jobs(self, request: Request) -> Response:
        query = JobsQuery.model_validate(dict(request.query_params))
        return as_json(self._supervisor.jobs(query.stack))

    async def _run_job(self, request: Request) -> Response:
        return as_json(await self._supervisor.run_job(request.path_params["name"], request.path_params["job"]))

    async def _run(self, request: Request) -> Response:
        return as_json(self._supervisor.run(request.path_params["name"], request.path_params["id"]))

    async def _metrics(self, request: Request) -> Response:
        query = MetricsQuery.model_validate(dict(request.query_params))
        return as_json(await self._supervisor.metrics(query.of(request.path_params["name"])))

    async def _prometheus(self, request: Request) -> Response:
        return Response(await asyncio.to_thread(self._supervisor.prometheus), media_type=CONTENT_TYPE)

    async def _listener(self, request: Request) -> Response:
        return as_json({"url": self._exposition.url})

    async def _listen(self, request: Request) -> Response:
        body = ListenerBody.model_validate_json(await bounded_body(request))
        url = await self._exposition.listen(str(body.address), body.port, body.hosts)
        return as_json({"url": url, "text": f"metrics are answered at {url}"})

    async def _no_listen(self, request: Request) -> Response:
        await self._exposition.no_listen()
        return as_json({"text": "metrics are answered on the daemon's own socket only"})

    async def _events(self, request: Request) -> Response:
        query = EventsQuery.model_validate(dict(request.query_params))
        return as_json({"events": self._supervisor.events(query.stack, query.limit, query.after)})

    async def _shutdown(self, request: Request) -> Response:
        async def act(progress: Progress) -> dict[str, Any]:
            result = await self._supervisor.shutdown(progress)
            # The stream still gets its last line: the server lets open streams end before it goes.
            self._on_shutdown()
            return result

        return self._stream("shutdown", act)

    async def _handover(self, request: Request) -> Response:
        self._on_shutdown()
        return as_json(self._identity)

    async def _leave(self, request: Request) -> Response:
        leaves = self._supervisor.is_idle()
        if leaves:
            self._on_shutdown()
        return as_json({"leaves": leaves})

    def _stream(self, name: str, act: Act) -> Response:
        return StreamingResponse(self._work.start(name, act), media_type="application/x-ndjson")


def _instance_of(request: Request) -> tuple[str, str]:
    """The stack and the instance of a route below `/stacks/NAME/instances/ID`."""
    return request.path_params["name"], request.path_params["id"]


def _error(error: FairleadError, status: int | None = None) -> Response:
    if status is None:
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
    return as_json({"error": error.to_json()}, status)


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
