"""What the routes share: a request's body, read with a bound, and an answer as JSON."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fairlead.api.bodies import MOST_BYTES
from fairlead.errors import UsageError


async def bounded_body(request: Request) -> bytes:
    """UsageError: it is longer than MOST_BYTES."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise UsageError("the request is too long", f"a body may have {MOST_BYTES} bytes")
    return bytes(body)


def as_json(content: Any, status: int = 200) -> Response:
    # ASCII only: file names may hold bytes that are no UTF-8, and so no character that could be encoded.
    return Response(json.dumps(content).encode(), status, media_type="application/json")
