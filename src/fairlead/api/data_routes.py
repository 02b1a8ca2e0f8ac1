"""The routes of `fairlead data`: what is done to the caches, databases and buckets of stacks.

    GET    /data?stack=                 {"data": [...]}: rows of `resources` in the status, with stack, up and size
    POST   /stacks/NAME/data/ID/stop    stream, ending with {"stack", "id", "text", "needed_by"}
    POST   /stacks/NAME/data/ID/start   stream, ending with {"stack", "id", "text", "state"}
    POST   /stacks/NAME/data/ID/backup  FileBody -> stream, ending with {"stack", "id", "file", "bytes", "text"}
    POST   /stacks/NAME/data/ID/restore FileBody -> stream, ending with {"stack", "id", "file", "unprepared", "text"}
    GET    /stacks/NAME/data/ID/shell   {"argv", "environment", "says"}; the environment holds a password
    DELETE /stacks/NAME/data/ID         stream, ending with {"stack", "id", "bytes", "text"}
    DELETE /stacks/NAME/data            stream, ending with {"stack", "ids", "bytes", "text"}

Part of the application that `routes` makes; nothing else than the daemon's own socket ever answers them.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fairlead.api.answers import as_json, bounded_body
from fairlead.api.bodies import DataQuery, FileBody
from fairlead.api.work import Act, LongWork
from fairlead.control.supervisor import Supervisor


class DataRoutes:
    def __init__(self, supervisor: Supervisor, work: LongWork) -> None:
        self._supervisor, self._work = supervisor, work

    def routes(self) -> list[Route]:
        of_one = "/stacks/{name}/data/{id}"
        return [
            Route("/data", self._list, methods=["GET"]),
            Route("/stacks/{name}/data", self._delete_all, methods=["DELETE"]),
            Route(of_one, self._delete, methods=["DELETE"]),
            Route(f"{of_one}/stop", self._stop, methods=["POST"]),
            Route(f"{of_one}/start", self._start, methods=["POST"]),
            Route(f"{of_one}/backup", self._backup, methods=["POST"]),
            Route(f"{of_one}/restore", self._restore, methods=["POST"]),
            Route(f"{of_one}/shell", self._shell, methods=["GET"]),
        ]

    async def _list(self, request: Request) -> Response:
        query = DataQuery.model_validate(dict(request.query_params))
        return as_json(await self._supervisor.data.list(query.stack))

    async def _stop(self, request: Request) -> Response:
        name, id = _one(request)
        return self._stream(f"stop {name} {id}", lambda progress: self._supervisor.data.stop(name, id, progress))

    async def _start(self, request: Request) -> Response:
        name, id = _one(request)
        return self._stream(f"start {name} {id}", lambda progress: self._supervisor.data.start(name, id, progress))

    async def _backup(self, request: Request) -> Response:
        (name, id), body = _one(request), FileBody.model_validate_json(await bounded_body(request))
        return self._stream(
            f"backup {name} {id}", lambda progress: self._supervisor.data.backup(name, id, body.file, progress)
        )

    async def _restore(self, request: Request) -> Response:
        (name, id), body = _one(request), FileBody.model_validate_json(await bounded_body(request))
        return self._stream(
            f"restore {name} {id}", lambda progress: self._supervisor.data.restore(name, id, body.file, progress)
        )

    async def _shell(self, request: Request) -> Response:
        return as_json(await self._supervisor.data.shell(*_one(request)))

    async def _delete(self, request: Request) -> Response:
        name, id = _one(request)
        return self._stream(f"delete {name} {id}", lambda progress: self._supervisor.data.delete(name, id, progress))

    async def _delete_all(self, request: Request) -> Response:
        name = request.path_params["name"]
        return self._stream(f"delete {name}", lambda progress: self._supervisor.data.delete_all(name, progress))

    def _stream(self, name: str, act: Act) -> Response:
        return StreamingResponse(self._work.start(name, act), media_type="application/x-ndjson")


def _one(request: Request) -> tuple[str, str]:
    """The stack and the resource of a route below `/stacks/NAME/data/ID`."""
    return request.path_params["name"], request.path_params["id"]
