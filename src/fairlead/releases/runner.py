"""The program that serves an `app:`: one process, one Unix socket. With `--detect` it tells what kind of app it is.

    python runner.py TARGET --server-path DIR --uds PATH --threads N --umask 0177      serve until SIGTERM
    python runner.py TARGET --detect                                                   print {"interface": "wsgi"}

It imports nothing of fairlead: a copy of this file runs in the release's own interpreter, as the instance's user, with
the release's source as its working folder; hence one long file. TARGET is `module:attribute` or `module:factory()`. DIR
holds Granian and is appended to the path, so that the app's own versions of everything win.

Granian's own command line is not used, because it starts two processes, shares ports in silence, outlives its parent
and deadlocks at a third SIGTERM; so this file drives private names of one exact version of Granian (server.py pins it)
and a test starts it. The law: the socket is bound before the app is imported, so that a bad path shows at once, but
listens only when the app can answer; the first SIGTERM lets requests in flight finish, and every later one is ignored.

Errors of the app are its own traceback; ours are one sentence; both exit with status 1.
"""

from __future__ import annotations

import argparse
import atexit
import difflib
import functools
import importlib
import inspect
import json
import os
import re
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any, NoReturn

BACKLOG = 1024
UMASK = 0o027
"""For what the app itself writes; the socket has its own."""


class CannotServe(Exception):
    """One sentence for the user."""


# --- what kind of app: judged by how it can be called, never by its type or module -----------------------------------


def detect(thing: Any, *, may_call: bool = True) -> tuple[str, Any]:
    """(`asgi` | `wsgi` | `rsgi`, the object to serve). A factory or class that takes no argument is called, once.

    CannotServe when it is none of these.
    """
    if not inspect.isclass(thing) and hasattr(thing, "__rsgi__"):
        return "rsgi", thing
    if not callable(thing):
        raise CannotServe(f"it is {_kind(thing)}, which cannot be called: an ASGI or WSGI app can")
    fits = _fits(thing)
    if inspect.isclass(thing):
        return _detect_class(thing, fits, may_call)
    if _is_async(thing):
        return _detect_async(thing, fits)
    if fits is None:
        return "wsgi", thing
    if fits(3) and not fits(2):
        return "asgi", thing
    if fits(2) and not (inspect.isroutine(thing) and fits(0) and not fits(9)):
        return "wsgi", thing
    if fits(0):
        return _called(thing, may_call)
    if fits(1):
        raise CannotServe(f"{_kind(thing)} takes one argument, so it brings its own server: start that with `command:`")
    raise CannotServe(f"{_kind(thing)} takes neither (environ, start_response) nor (scope, receive, send)")


def _detect_class(thing: Any, fits: Callable[[int], bool] | None, may_call: bool) -> tuple[str, Any]:
    if fits is None or fits(0):
        return _called(thing, may_call)
    if fits(2):
        return "wsgi", thing
    raise CannotServe(
        f"class {thing.__name__} needs arguments; if it is an ASGI 2 app (`__init__(scope)`), wrap it with "
        "`asgiref.compatibility.guarantee_single_callable`"
    )


def _detect_async(thing: Any, fits: Callable[[int], bool] | None) -> tuple[str, Any]:
    if fits is None or fits(3):
        return "asgi", thing
    if fits(2):
        return "rsgi", thing
    if fits(0):
        raise CannotServe(f"{_kind(thing)} is an async factory: make it a plain function, or name the app itself")
    raise CannotServe(f"{_kind(thing)} is async but does not take (scope, receive, send)")


def _called(thing: Any, may_call: bool) -> tuple[str, Any]:
    if not may_call:
        raise CannotServe(f"the factory returned {_kind(thing)}, which wants to be called again and is not an app")
    made = thing()
    if inspect.iscoroutine(made):
        made.close()
    if made is thing or inspect.isawaitable(made):
        raise CannotServe(f"{_kind(thing)} brings its own server: start that with `command:`")
    return detect(made, may_call=False)


def _subject(thing: Any) -> Any:
    """What carries the signature: the thing itself, or the bound `__call__` of an object."""
    if inspect.isclass(thing) or inspect.isroutine(thing) or isinstance(thing, functools.partial):
        return thing
    return thing.__call__


def _is_async(thing: Any) -> bool:
    subject = _subject(thing)
    if isinstance(subject, functools.partial):
        return _is_async(subject.func)
    return inspect.iscoroutinefunction(subject) or inspect.iscoroutinefunction(inspect.unwrap(subject))


def _fits(thing: Any) -> Callable[[int], bool] | None:
    """Whether it can be called with n positional arguments; None when it has no signature (some C callables)."""
    try:
        parameters = inspect.signature(_subject(thing)).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    need = sum(p.default is p.empty for p in positional)
    most = 99 if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(positional)
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return lambda count: False
    return lambda count: need <= count <= most


def _kind(thing: Any) -> str:
    name = getattr(thing, "__name__", "")
    if inspect.ismodule(thing):
        return f"module {name}"
    return f"{name}()" if name and inspect.isroutine(thing) else f"an object of type {type(thing).__name__}"


# --- from TARGET to the object ---------------------------------------------------------------------------------------


def load(target: str) -> Any:
    """The object that TARGET names; a factory written with () is called. Raises what the app's module raises."""
    name, _, attribute = target.partition(":")
    if not name or not attribute:
        raise CannotServe("write it as `module:attribute`, for example `app:app`")
    thing: Any
    try:
        thing = importlib.import_module(name)
    except ModuleNotFoundError as problem:
        # A module missing inside the app is the app's own error; that of the target itself is ours to explain.
        if problem.name is None or not f"{name}.".startswith(f"{problem.name}."):
            raise
        raise CannotServe(f"there is no module `{problem.name}`; the source has {_listed(_modules())}") from problem
    for part in attribute.removesuffix("()").split("."):
        try:
            thing = getattr(thing, part)
        except AttributeError as problem:
            names = _own_names(thing)
            close = difflib.get_close_matches(part, names, 1)
            hint = f"did you mean `{close[0]}`?" if close else f"it has {_listed(names)}"
            raise CannotServe(f"module `{name}` has no `{part}`; {hint}") from problem
    return thing() if attribute.endswith("()") else thing


def _own_names(thing: Any) -> list[str]:
    """What `thing` holds, but for what it only imported. By type(): a proxy's attributes may raise (flask.request)."""
    own, here = [], getattr(thing, "__name__", "")
    for name, value in getattr(thing, "__dict__", {}).items():
        kind = type(value)
        foreign = issubclass(kind, (type, FunctionType)) and value.__module__ != here
        if not (name.startswith("_") or foreign or issubclass(kind, ModuleType)):
            own.append(name)
    return own


def _modules() -> list[str]:
    entries = sorted(os.listdir())
    return [e.removesuffix(".py") for e in entries if e.endswith(".py") or os.path.isfile(f"{e}/__init__.py")]


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(f"`{n}`" for n in names[:8]) + (", ..." if len(names) > 8 else "") if names else "none"


def find(target: str) -> tuple[str, Any]:
    """`load`, then `detect`; what was called already by () is not called again."""
    return detect(load(target), may_call=not target.endswith("()"))


# --- what the balancer says of the client and of the address that was asked -------------------------------------------

# Only the balancer can open the socket, and what it says of a client stands last: entries and header lines before that
# are the client's own words. Granian's wrappers (granian.utils.proxies) do not fit: on a Unix socket they believe
# nobody or, told to believe everybody, the leftmost entry; and the socket's path stays the server's name.

UNKNOWN = "0.0.0.0"
"""The client of a request without X-Forwarded-For (a health check, `forwarded_for: remove`). An address, for apps that
read it as one; never 127.0.0.1, which some apps let in."""

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([\w.-]{1,255}))(?::(\d*))?", re.ASCII | re.IGNORECASE)


def forwarded(client: str, proto: str, port: str, host: str) -> tuple[tuple[str, int], str, tuple[str, int]]:
    """((client's address, its port or 0), `http` or `https`, (server's name, its port)).

    In: the values of X-Forwarded-For, -Proto and -Port and of Host, "" for what is missing; whatever they hold."""
    scheme = _SCHEMES.get(_last(proto).lower(), "http")
    name, asked_port = _host(host)
    own = _port(_last(port)) or asked_port or (443 if scheme == "https" else 80)
    return _client(_last(client)), scheme, (name, own)


def _last(values: str) -> str:
    return values.rpartition(",")[2].strip()


def _client(entry: str) -> tuple[str, int]:
    """`203.0.113.9` or `2001:db8::1`; some proxies write a port too: `203.0.113.9:4711`, `[2001:db8::1]:4711`."""
    host, port = entry, ""
    if entry.startswith("["):
        host, _, port = entry[1:].partition("]")
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    return (host, _port(port.removeprefix(":"))) if _is_address(host) else (UNKNOWN, 0)


def _host(value: str) -> tuple[str, int]:
    """The name (an IPv6 address without brackets) and the port, or 0, of a Host header."""
    found = _AUTHORITY.fullmatch(value)
    if not found or (found[1] and not _is_address(found[1])):
        return "localhost", 0
    return found[1] or found[2], _port(found[3] or "")


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536 else 0


def _is_address(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def wsgi_forwarded(app: Callable[..., Any]) -> Callable[..., Any]:
    """REMOTE_ADDR, wsgi.url_scheme, SERVER_NAME and SERVER_PORT as the balancer's headers say."""

    @functools.wraps(app, updated=())
    def served(environ: dict[str, Any], start_response: Any) -> Any:
        names = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_PORT", "HTTP_HOST")
        (client, _), scheme, (name, port) = forwarded(*[environ.get(key, "") for key in names])
        environ["REMOTE_ADDR"], environ["wsgi.url_scheme"] = client, scheme
        environ["SERVER_NAME"] = f"[{name}]" if ":" in name else name
        environ["SERVER_PORT"] = str(port)
        return app(environ, start_response)

    return served


def asgi_forwarded(app: Callable[..., Any]) -> Callable[..., Any]:
    """The same for `scope`: client, scheme (`ws` and `wss` for a WebSocket) and server."""

    @functools.wraps(app, updated=())
    def served(scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope["type"] != "lifespan":
            # Of several lines the last one stays.
            headers = dict(scope["headers"])
            names = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-port", b"host")
            values = [headers.get(name, b"").decode("latin-1") for name in names]
            scope["client"], scheme, scope["server"] = forwarded(*values)
            scope["scheme"] = scheme.replace("http", "ws") if scope["type"] == "websocket" else scheme
        return app(scope, receive, send)

    return served


class _RSGIScope:
    """RSGI's scope, whose own fields cannot be set."""

    def __init__(self, scope: Any) -> None:
        values = [",".join(scope.headers.get_all(f"x-forwarded-{name}")) for name in ("for", "proto", "port")]
        values.append(scope.authority or scope.headers.get("host", ""))
        client, self.scheme, server = forwarded(*values)
        self.client, self.server = (f"[{at}]:{port}" if ":" in at else f"{at}:{port}" for at, port in (client, server))
        self._scope = scope

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scope, name)


def rsgi_forwarded(app: Any) -> Any:
    """The same for RSGI; what else the app brings (`__rsgi_init__`, `__rsgi_del__`) is still its own."""
    handle = getattr(app, "__rsgi__", app)

    class Served:
        def __rsgi__(self, scope: Any, proto: Any) -> Any:
            return handle(_RSGIScope(scope), proto)

        def __getattr__(self, name: str) -> Any:
            return getattr(app, name)

    return Served()


# --- serving ---------------------------------------------------------------------------------------------------------


def bind(path: str, umask: int) -> socket.socket:
    """A Unix socket at `path`, bound and not yet listening, so that a request is refused until the app is there."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(umask)
    try:
        bound.bind(path)
    except OSError as problem:
        raise CannotServe(f"cannot listen on {path}: {problem.strerror or problem}") from problem
    finally:
        os.umask(UMASK)
    return bound


def _quiet_granian() -> tuple[Any, Any]:
    """Import Granian and set up its logging now, once: done later, it would close the handlers of the app's own."""
    common: Any = importlib.import_module("granian.server.common")
    mp: Any = importlib.import_module("granian.server.mp")
    common.configure_logging(common.LogLevels.error)
    common.configure_logging = mp.configure_logging = lambda *ignored: None
    # The app may have setproctitle; the title would name an address that nobody listens on.
    common.setproctitle = mp.setproctitle = None
    return common, mp


def _once(event: Any) -> Callable[..., None]:
    """A signal handler that passes on the first signal only: Granian deadlocks at repeats."""
    seen: list[bool] = []

    def handler(*ignored: Any) -> None:
        if not seen:
            seen.append(True)
            event.set()

    return handler


def _first_signal_only() -> None:
    signals: Any = importlib.import_module("granian._signals")

    def for_threads() -> Any:
        event = signals.WorkerSignal()
        handler = _once(event)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handler)
        return event

    def for_loop(loop: Any) -> Any:
        event = signals.WorkerSignal()
        handler = _once(event)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, handler)
        return event

    signals.set_sync_signals, signals.set_loop_signals = for_threads, for_loop


def _serve_here(mp: Any, bound: socket.socket) -> Any:
    """Granian's server, in this process, on a socket of ours."""
    granian = importlib.import_module("granian._granian")

    class Solo(mp.MPServer):  # type: ignore[misc]
        def _serve(self, spawn_target: Any, target_loader: Any) -> None:
            self.pid, self._ipc = os.getpid(), {0: (None, None)}
            bound.listen(self.backlog)
            bound.setblocking(False)
            # Detached: a descriptor left open here would go on accepting after SIGTERM.
            self._shd = granian.SocketHolder(bound.detach(), True, self.backlog)
            self._ssp = self._sso = None
            self._spawn_worker(0, spawn_target, target_loader).inner.run()

    return Solo


def serve(target: str, server_path: str, path: str, threads: int, umask: int) -> None:
    """Serve until the first SIGTERM or SIGINT; returns when the requests in flight are answered."""
    sys.path.append(server_path)
    # Granian before the app's folder is on the path: a file of the app named like a module of Granian's is not found.
    common, mp = _quiet_granian()
    bound = bind(path, umask)
    sys.path.insert(0, os.getcwd())
    interface, app = find(target)
    _first_signal_only()
    served = {"wsgi": wsgi_forwarded, "asgi": asgi_forwarded, "rsgi": rsgi_forwarded}[interface](app)
    server = _serve_here(mp, bound)(
        target,
        interface=common.Interfaces(interface),
        # HTTP/1.1, and h2c for a target group with `protocol: HTTP2`: a connection's first bytes tell which.
        http=common.HTTPModes.auto,
        backlog=BACKLOG,
        websockets=interface != "wsgi",
        blocking_threads=threads if interface == "wsgi" else None,
        log_level=common.LogLevels.error,
    )
    server.serve(target_loader=lambda: served, wrap_loader=False)


def report(target: str) -> NoReturn:
    """Print one line of JSON: {"interface": ...}, or {"error": sentence} ("" when the traceback on stderr says it)."""
    answer = os.dup(1)
    # What the app prints while it is imported must not mix with the answer.
    os.dup2(2, 1)
    sys.path.insert(0, os.getcwd())
    try:
        fields = {"interface": find(target)[0]}
    except CannotServe as problem:
        fields = {"error": str(problem)}
    except BaseException as problem:
        _show(problem)
        fields = {"error": "", "exception": traceback.format_exception_only(problem)[-1].strip()}
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(answer, json.dumps(fields).encode() + b"\n")
    # Threads that the app started at import must not keep this process.
    os._exit(0 if "interface" in fields else 1)


def _show(problem: BaseException) -> None:
    """The app's traceback, without the frames of this file and of the import machinery."""
    frame = problem.__traceback__
    while frame and frame.tb_frame.f_code.co_filename.startswith((__file__, importlib.__file__, "<frozen importlib")):
        frame = frame.tb_next
    traceback.print_exception(problem.with_traceback(frame))


def _leave() -> NoReturn:
    """End as Python ends (the app's threads, then its exit functions), but for taking the interpreter down: threads of
    Granian that still wake up then abort the process."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="runner.py")
    parser.add_argument("target")
    parser.add_argument("--detect", action="store_true")
    parser.add_argument("--server-path")
    parser.add_argument("--uds")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--umask", type=lambda text: int(text, 8), default=0o177)
    given = parser.parse_args(words)
    # The first entry is this file's folder; nothing may be imported from there.
    del sys.path[0]
    # Else a file or pipe gets what is printed only when 8 kB are full, or never.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if given.detect:
        report(given.target)
    try:
        serve(given.target, given.server_path, given.uds, given.threads, given.umask)
    except CannotServe as problem:
        sys.exit(f"fairlead: cannot serve {given.target}: {problem}")
    except Exception as problem:
        _show(problem)
        sys.exit(1)
    _leave()


if __name__ == "__main__":
    main(sys.argv[1:])
