"""The routes of `fairlead secret`: values come in here, and never go out.

    GET    /stacks/NAME/secrets                     {"stack", "secrets": [{"name", "origin", "changed_at", "used_by"}]}
    PUT    /stacks/NAME/secrets/SECRET              SecretBody -> {"stack", "name", "changed", "removed", "outdated",
                                                    "text"}
    DELETE /stacks/NAME/secrets/SECRET?force=       {"stack", "name", "used_by", "text"}
    POST   /secrets/reset                           {"secrets", "data", "text"}: all are given up, their key was lost

Part of the application that `routes` makes. A value stands in a body only, which no log and no error repeats.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fairlead.api.answers import as_json, bounded_body
from fairlead.api.bodies import RemoveSecretQuery, SecretBody
from fairlead.control.supervisor import Supervisor


class SecretRoutes:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def routes(self) -> list[Route]:
        of_one = "/stacks/{name}/secrets/{secret}"
        return [
            Route("/stacks/{name}/secrets", self._list, methods=["GET"]),
            Route(of_one, self._set, methods=["PUT"]),
            Route(of_one, self._remove, methods=["DELETE"]),
            Route("/secrets/reset", self._reset, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        return as_json(self._supervisor.secrets.entries(request.path_params["name"]))

    async def _set(self, request: Request) -> Response:
        body = SecretBody.model_validate_json(await bounded_body(request))
        return as_json(await self._supervisor.secrets.set(*_one(request), body.value.get_secret_value()))

    async def _remove(self, request: Request) -> Response:
        query = RemoveSecretQuery.model_validate(dict(request.query_params))
        return as_json(await self._supervisor.secrets.remove(*_one(request), force=query.force))

    async def _reset(self, request: Request) -> Response:
        return as_json(await self._supervisor.secrets.reset())


def _one(request: Request) -> tuple[str, str]:
    """The stack and the secret of a route below `/stacks/NAME/secrets/SECRET`."""
    return request.path_params["name"], request.path_params["secret"]
