"""The command line's side of the API: the standard library's `http.client` over the daemon's Unix socket.

Nothing else is imported, because every command pays for it. Each method is one request. A stream is an iterator of
events, `{"type": "progress", ...}` any number of times and `{"type": "result", ...}` last; an error comes as the
exception it was in the daemon. DaemonUnavailable: nothing answers, or the daemon went away before it was done.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from fairlead.errors import DaemonUnavailable, FairleadError, UsageError, from_json

ANSWER = 10.0
"""Seconds in which a short request is answered."""

SILENCE = 30.0
"""Seconds a stream may be silent; the daemon sends an empty line every 10."""

GIVING_UP = 300.0
"""Seconds in which a cancelled `up` has put everything back: draining and stopping take what the file allows them."""


class Client:
    """Asks the daemon at `socket_path`. Keeps nothing between requests."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path

    def version(self, timeout: float = ANSWER) -> dict[str, Any]:
        """{"version", "pid"} of the daemon."""
        return self._ask("GET", "/version", timeout=timeout)

    def status(self, stack: str | None = None, *, explain: bool = False) -> dict[str, Any]:
        """The contract of `fairlead status --json`; with explain each instance has an `explanation` too. NotFound."""
        return self._ask("GET", _path("/status", stack=stack, explain=1 if explain else None))

    def up(self, path: str, dotenv: str, env: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Bring up the file at `path` (absolute); the result is {"stack", "changed", "summary", "urls"}."""
        return self._stream("POST", "/stacks", {"path": path, "dotenv": dotenv, "env": dict(env)})

    def cancel(self, stack: str) -> dict[str, Any]:
        """Give up the running `up`; returns when that is done: {"text"}."""
        return self._ask("POST", f"/stacks/{quote(stack, safe='')}/cancel", timeout=GIVING_UP)

    def down(self, stack: str) -> Iterator[dict[str, Any]]:
        """Stop a stack; the result is {"stack", "text"}."""
        return self._stream("DELETE", f"/stacks/{quote(stack, safe='')}")

    def check(self, stack: str) -> dict[str, Any]:
        """What the distribution check needs to know of a stack."""
        return self._ask("GET", f"/stacks/{quote(stack, safe='')}/check")

    def events(self, stack: str | None = None, limit: int = 100, after: int = 0) -> list[dict[str, Any]]:
        """The last `limit` events with an id greater than `after`, oldest first."""
        found = self._ask("GET", _path("/events", stack=stack, limit=limit, after=after)).get("events", [])
        return list(found)

    def shutdown(self) -> Iterator[dict[str, Any]]:
        """Stop every stack and the balancer; after the result the daemon exits."""
        return self._stream("POST", "/shutdown")

    def leave(self) -> bool:
        """End the daemon if it has nothing to do; whether it does."""
        return bool(self._ask("POST", "/leave").get("leaves"))

    def _ask(self, method: str, path: str, *, timeout: float = ANSWER) -> dict[str, Any]:
        with _Request(self._path, method, path, None, timeout) as response:
            answer = json.loads(response.read())
            if not isinstance(answer, dict):
                raise ValueError("not an object")
            return answer

    def _stream(self, method: str, path: str, body: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        with _Request(self._path, method, path, body, SILENCE) as response:
            while line := response.readline():
                if not line.endswith(b"\n"):
                    break
                event = json.loads(line) if line.strip() else {}
                if event.get("type") == "error":
                    raise from_json(event["error"])
                if event:
                    yield event
                if event.get("type") == "result":
                    return
        raise DaemonUnavailable("the daemon went away", "it ended before the work was done", "Run the command again.")


class _Request:
    """One request as a context: its response inside, and every way it can fail as an error of ours."""

    def __init__(self, socket_path: str, method: str, path: str, body: dict[str, Any] | None, timeout: float) -> None:
        self._connection = _UnixConnection(socket_path, timeout)
        self._method, self._target, self._timeout = method, path, timeout
        self._body = None if body is None else json.dumps(body).encode()

    def __enter__(self) -> http.client.HTTPResponse:
        try:
            self._connection.request(self._method, self._target, self._body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            if response.status >= 400:
                raise from_json(json.loads(response.read())["error"])
            return response
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._connection.close()
        if isinstance(error, FairleadError):
            return
        if isinstance(error, PermissionError):
            raise UsageError(
                "the daemon's socket cannot be opened",
                "this home belongs to another user",
                "Run the command as that user, or choose another home with --home.",
            ) from error
        if isinstance(error, TimeoutError):
            why = f"{self._method} {self._target} had no answer for {self._timeout:g} s"
            raise DaemonUnavailable("the daemon does not answer", why, "See logs/daemon.log in its home.") from error
        if isinstance(error, OSError | http.client.HTTPException):
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DaemonUnavailable("the daemon does not answer", why) from error
        if isinstance(error, ValueError | KeyError | TypeError):
            why = f"{self._method} {self._target}: {error}"
            raise FairleadError("the daemon's answer cannot be read", why, "Are both of one version?") from error


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._socket_path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)


def _path(path: str, **query: str | int | None) -> str:
    wanted = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(wanted)}" if wanted else path
