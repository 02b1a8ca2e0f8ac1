"""The command line's side of the API: requests over the daemon's Unix socket (`wire`).

Nothing heavy is imported, because every command pays for it. Each method is one request. A stream is an iterator of
events, `{"type": "progress", ...}` any number of times and `{"type": "result", ...}` last; an error comes as the
exception it was in the daemon. DaemonUnavailable: nothing answers, or the daemon went away before it was done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairlead.api.wire import Exchange, quoted
from fairlead.errors import DaemonUnavailable, FairleadError, UsageError, from_json

ANSWER = 10.0
"""Seconds in which a short request is answered."""

SILENCE = 30.0
"""Seconds a stream may be silent; the daemon sends an empty line every 10."""

PLANNING = 120.0
"""Seconds in which a plan is made: it reads and hashes the source of every service."""

STARTING_JOB = 30.0
"""Seconds in which a job is started."""

MEASURED = 30.0
"""Seconds in which series of metrics are read."""

LOOKING_INTO = 30.0
"""Seconds in which a client program for data is found, perhaps copied first."""

OPENING = 30.0
"""Seconds in which the balancer listens on a port for one instance."""

MEASURING = 120.0
"""Seconds in which the sizes of all data are known: every file of them is looked at."""

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

    def up(self, path: str, dotenv: str, env: Mapping[str, str], who: str = "") -> Iterator[dict[str, Any]]:
        """Bring up the file at `path` (absolute); the result is {"stack", "changed", "summary", "urls"}.

        who: what another `up` of the stack, which waits for this one, is told of us: `pid 4711 on pts/3`."""
        return self._stream("POST", "/stacks", {"path": path, "dotenv": dotenv, "env": dict(env), "who": who})

    def plan(self, path: str, dotenv: str, env: Mapping[str, str]) -> dict[str, Any]:
        """What `up` of the file at `path` would change: {"stack", "first", "changed", "changes": [{"service", "what",
        "why"}], "unenforced", "notes", "urls"}."""
        body = {"path": path, "dotenv": dotenv, "env": dict(env)}
        return self._ask("POST", "/plan", body, timeout=PLANNING)

    def cancel(self, stack: str, who: str = "") -> dict[str, Any]:
        """Give up the running `up`; returns when that is done: {"text"}. who: as in `up`; another one's goes on."""
        return self._ask("POST", _place(stack, "cancel"), {"who": who}, timeout=GIVING_UP)

    def down(self, stack: str) -> Iterator[dict[str, Any]]:
        """Stop a stack; the result is {"stack", "text"}."""
        return self._stream("DELETE", _place(stack))

    def scale(
        self,
        stack: str,
        service: str,
        desired: int | None = None,
        *,
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Set a service's sizes by hand, as far as they are given; the result is {"stack", "service", "desired",
        "declared", "minimum", "maximum", "text"}."""
        body = {"service": service, "desired": desired, "minimum": minimum, "maximum": maximum}
        return self._stream("POST", _place(stack, "scale"), body)

    def suspend(self, stack: str, service: str, processes: Sequence[str]) -> dict[str, Any]:
        """Suspend processes of a service (`core.suspension`; none: all): {"stack", "service", "suspended", "text"},
        where suspended are all that now are."""
        return self._ask("POST", _place(stack, "suspend"), {"service": service, "processes": list(processes)})

    def resume(self, stack: str, service: str, processes: Sequence[str]) -> dict[str, Any]:
        """Let suspended processes of a service go on (none: all); the answer is that of `suspend`."""
        return self._ask("POST", _place(stack, "resume"), {"service": service, "processes": list(processes)})

    def restart(self, stack: str, service: str | None = None) -> Iterator[dict[str, Any]]:
        """Replace every instance of a service, or of all; the result is {"stack", "changed", "summary", "urls"}."""
        return self._stream("POST", _place(stack, "restart"), {"service": service})

    def drain(self, stack: str, instance: str, *, force: bool = False) -> dict[str, Any]:
        """Take an instance out of the load balancer: {"stack", "instance", "text"}. force: also the last one."""
        return self._ask("POST", _place(stack, "instances", instance, "drain"), {"force": force})

    def give_back(self, stack: str, instance: str) -> dict[str, Any]:
        """Put an instance that is drained or on standby back into the load balancer: {"stack", "instance", "text"}."""
        return self._ask("POST", _place(stack, "instances", instance, "return"))

    def standby(self, stack: str, instance: str, *, decrement: bool = False) -> dict[str, Any]:
        """Put an instance on standby: {"stack", "instance", "text"}. decrement: desired becomes one less; else another
        one is started in its place."""
        return self._ask("POST", _place(stack, "instances", instance, "standby"), {"decrement": decrement})

    def protect(self, stack: str, instance: str, on: bool) -> dict[str, Any]:
        """Keep an instance from being chosen when its service shrinks, or no longer: {"stack", "instance", "text"}."""
        return self._ask("POST", _place(stack, "instances", instance, "protect"), {"on": on})

    def terminate(
        self, stack: str, instance: str, *, now: bool = False, decrement: bool = False
    ) -> Iterator[dict[str, Any]]:
        """End an instance, its replacement first unless `now`; the result is {"stack", "instance", "text"}.

        decrement: without a replacement; the service's size becomes one less."""
        body = {"now": now, "decrement": decrement}
        return self._stream("POST", _place(stack, "instances", instance, "terminate"), body)

    def open_instance(self, stack: str, instance: str, seconds: float) -> dict[str, Any]:
        """Let an instance be reached alone for so long: {"stack", "instance", "url", "port", "until", "text"}. The url
        is a secret, told this once: it holds the token that opens the instance."""
        path = _place(stack, "instances", instance, "open")
        return self._ask("POST", path, {"seconds": seconds}, timeout=OPENING)

    def close_instance(self, stack: str, instance: str) -> dict[str, Any]:
        """Let it be reached alone no longer: {"stack", "instance", "text"}."""
        return self._ask("POST", _place(stack, "instances", instance, "close"))

    def entry(self, stack: str, *, service: str | None = None, instance: str | None = None) -> dict[str, Any]:
        """How to start a program as the service's release (or the instance) would be started: {"argv", "environment",
        "working_folder", "user": [uid, gid] or None, "service", "instance", "release"}. Its environment holds secrets.
        """
        return self._ask("GET", _path(_place(stack, "entry"), service=service, instance=instance))

    def check(self, stack: str) -> dict[str, Any]:
        """What the distribution check needs to know of a stack."""
        return self._ask("GET", _place(stack, "check"))

    def explain(self, stack: str, service: str, at: str | None = None) -> dict[str, Any]:
        """Why a service is as it is, or was at `at` (ISO 8601 with a zone): docs/reference/explain.md. NotFound."""
        return self._ask("GET", _path(_place(stack, "explain"), service=service, at=at))

    def metrics(
        self,
        stack: str,
        *,
        service: str | None = None,
        zone: str | None = None,
        target: str | None = None,
        since: str | None = None,
        until: str | None = None,
        period: int | None = None,
    ) -> dict[str, Any]:
        """Series of metrics: docs/reference/metrics.md. since, until: ISO 8601 with a zone; period: in seconds."""
        asked = {"service": service, "zone": zone, "target": target, "since": since, "until": until, "period": period}
        return self._ask("GET", _path(_place(stack, "metrics"), **asked), timeout=MEASURED)

    def prometheus(self) -> str:
        """All that is measured, in Prometheus' text format."""
        with _Request(self._path, "GET", "/metrics", None, MEASURED) as exchange:
            return exchange.read().decode()

    def metrics_listener(self) -> str | None:
        """The URL at which metrics are answered beside the daemon's socket, or None."""
        url = self._ask("GET", "/metrics/listener").get("url")
        return None if url is None else str(url)

    def listen_for_prometheus(self, address: str, port: int, hosts: Sequence[str] = ()) -> dict[str, Any]:
        """Answer metrics there from now on: {"url", "text"}. hosts: names by which it may be asked. UsageError,
        PortInUse."""
        return self._ask("PUT", "/metrics/listener", {"address": address, "port": port, "hosts": list(hosts)})

    def no_longer_listen_for_prometheus(self) -> dict[str, Any]:
        """Answer metrics on the daemon's socket only: {"text"}."""
        return self._ask("DELETE", "/metrics/listener")

    def events(self, stack: str | None = None, limit: int = 100, after: int = 0) -> list[dict[str, Any]]:
        """The last `limit` events with an id greater than `after`, oldest first."""
        found = self._ask("GET", _path("/events", stack=stack, limit=limit, after=after)).get("events", [])
        return list(found)

    def secrets(self, stack: str) -> dict[str, Any]:
        """The secrets of a stack, up or not, without their values: {"stack", "secrets": [{"name", "origin",
        "changed_at", "used_by"}]}."""
        return self._ask("GET", _place(stack, "secrets"))

    def set_secret(self, stack: str, name: str, value: str) -> dict[str, Any]:
        """Keep a value: {"stack", "name", "changed", "removed", "outdated", "text"}. UsageError: it cannot be kept."""
        return self._ask("PUT", _place(stack, "secrets", name), {"value": value})

    def remove_secret(self, stack: str, name: str, *, force: bool = False) -> dict[str, Any]:
        """Forget a value: {"stack", "name", "used_by", "text"}. NotFound; UsageError: it is used, and not `force`."""
        return self._ask("DELETE", _path(_place(stack, "secrets", name), force=1 if force else None))

    def reset_secrets(self) -> dict[str, Any]:
        """Give up all values of the home, whose key was lost: {"secrets", "data", "text"}. UsageError: it was not, or a
        stack that has some is up."""
        return self._ask("POST", "/secrets/reset")

    def jobs(self, stack: str | None = None) -> list[dict[str, Any]]:
        """The jobs of a stack, or of all. NotFound."""
        return list(self._ask("GET", _path("/jobs", stack=stack)).get("jobs", []))

    def run_job(self, stack: str, job: str) -> dict[str, Any]:
        """Start a job now; its run, which goes on by itself. NotFound; UsageError: it runs already."""
        path = _place(stack, "jobs", job)
        return dict(self._ask("POST", path, timeout=STARTING_JOB)["run"])

    def run(self, stack: str, id: str) -> dict[str, Any]:
        """One run with the last lines of its log. NotFound."""
        return self._ask("GET", _place(stack, "runs", id))

    def data(self, stack: str | None = None) -> list[dict[str, Any]]:
        """The caches, databases and buckets of a stack or of all, also of stacks that are down: rows of `resources` in
        the status, with `stack`, `up` and `size`. NotFound."""
        return list(self._ask("GET", _path("/data", stack=stack), timeout=MEASURING).get("data", []))

    def stop_data(self, stack: str, id: str) -> Iterator[dict[str, Any]]:
        """Stop a server of data; the result is {"stack", "id", "text", "needed_by"}."""
        return self._stream("POST", _place(stack, "data", id, "stop"))

    def start_data(self, stack: str, id: str) -> Iterator[dict[str, Any]]:
        """Start it again; the result is {"stack", "id", "text", "state"}."""
        return self._stream("POST", _place(stack, "data", id, "start"))

    def backup_data(self, stack: str, id: str, file: str) -> Iterator[dict[str, Any]]:
        """Its data into `file` (absolute, not there yet); the result is {"stack", "id", "file", "bytes", "text"}."""
        return self._stream("POST", _place(stack, "data", id, "backup"), {"file": file})

    def restore_data(self, stack: str, id: str, file: str) -> Iterator[dict[str, Any]]:
        """Its data become those of a backup (absolute); the result is {"stack", "id", "file", "text"}."""
        return self._stream("POST", _place(stack, "data", id, "restore"), {"file": file})

    def data_shell(self, stack: str, id: str) -> dict[str, Any]:
        """A program to look into it with: {"argv", "environment", "says"}. Its environment holds a password."""
        return self._ask("GET", _place(stack, "data", id, "shell"), timeout=LOOKING_INTO)

    def delete_data(self, stack: str, id: str | None = None) -> Iterator[dict[str, Any]]:
        """Delete its data for ever; the result is {"stack", "id", "bytes", "text"}. Without id: all of a stack that is
        down, with {"stack", "ids", "bytes", "text"}."""
        return self._stream("DELETE", _place(stack, "data", *([id] if id is not None else [])))

    def shutdown(self) -> Iterator[dict[str, Any]]:
        """Stop every stack and the balancer; after the result the daemon exits."""
        return self._stream("POST", "/shutdown")

    def handover(self) -> dict[str, Any]:
        """End the daemon and nothing else, for another one to take over: {"version", "pid"} of the one that leaves."""
        return self._ask("POST", "/handover")

    def leave(self) -> bool:
        """End the daemon if it has nothing to do; whether it does."""
        return bool(self._ask("POST", "/leave").get("leaves"))

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout: float = ANSWER
    ) -> dict[str, Any]:
        with _Request(self._path, method, path, body, timeout) as exchange:
            answer = json.loads(exchange.read())
            if not isinstance(answer, dict):
                raise ValueError("not an object")
            return answer

    def _stream(self, method: str, path: str, body: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        with _Request(self._path, method, path, body, SILENCE) as exchange:
            for line in exchange.lines():
                event = json.loads(line) if line.strip() else {}
                if event.get("type") == "error":
                    raise from_json(event["error"])
                if event:
                    yield event
                if event.get("type") == "result":
                    return
        raise DaemonUnavailable("the daemon went away", "it ended before the work was done", "Run the command again.")


class _Request:
    """One request as a context: its answer inside, and every way it can fail as an error of ours."""

    def __init__(self, socket_path: str, method: str, path: str, body: dict[str, Any] | None, timeout: float) -> None:
        self._exchange = Exchange(socket_path, timeout)
        self._method, self._target, self._timeout = method, path, timeout
        self._body = None if body is None else json.dumps(body).encode()

    def __enter__(self) -> Exchange:
        try:
            if self._exchange.ask(self._method, self._target, self._body) >= 400:
                raise from_json(json.loads(self._exchange.read())["error"])
            return self._exchange
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._exchange.close()
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
        if isinstance(error, OSError):
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DaemonUnavailable("the daemon does not answer", why) from error
        if isinstance(error, ValueError | KeyError | TypeError):
            why = f"{self._method} {self._target}: {error}"
            hint = "Use the version of fairlead that the daemon has: `fairlead status` shows it."
            raise FairleadError("the daemon's answer cannot be read", why, hint) from error


def _place(stack: str, *words: str) -> str:
    """`/stacks/STACK/WORD/...`, each part quoted."""
    return "/".join(["/stacks", *(quoted(word) for word in (stack, *words))])


def _path(path: str, **query: str | int | None) -> str:
    wanted = "&".join(f"{name}={quoted(str(value))}" for name, value in query.items() if value is not None)
    return f"{path}?{wanted}" if wanted else path
