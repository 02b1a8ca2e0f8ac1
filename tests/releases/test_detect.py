"""What kind of app an object is, by how it can be called: a table over real objects and imitations."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from fairlead.releases.runner import CannotServe, asgi_forwarded, detect, find, wsgi_forwarded
from tests.releases.builders import a_tree

flask_app, starlette_app = Flask("x"), Starlette()


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


def wsgi_with_options(environ: Any, start_response: Any, debug: bool = False) -> list[bytes]:
    return []


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


async def rsgi(scope: Any, protocol: Any) -> None: ...


def sync_asgi(scope: Any, receive: Any, send: Any) -> Any:
    return asgi(scope, receive, send)


def transparent(app: Any) -> Any:
    @functools.wraps(app)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return app(*args, **kwargs)

    return wrapper


def opaque(app: Any) -> Any:
    return lambda *args: app(*args)


class WsgiObject:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class WsgiPerRequest:
    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


class WsgiClassWithoutArguments(WsgiObject): ...


class AsgiObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiVarargs:
    async def __call__(self, *args: Any) -> None: ...


class CallIsPartial:
    """Its `__call__` is set on the object."""

    def __init__(self) -> None:
        self.__call__ = functools.partial(asgi)


class Rsgi:
    def __rsgi__(self, scope: Any, protocol: Any) -> None: ...


class LikeAiohttp:
    def __call__(self) -> LikeAiohttp:
        return self


class LikeTornado:
    def __call__(self, request: Any) -> None: ...


class Asgi2:
    def __init__(self, scope: Any) -> None: ...


async def async_factory() -> Any: ...


def factory() -> Flask:
    return flask_app


def flask_factory(test_config: Any = None, *, debug: bool = False) -> Flask:
    return flask_app


def two_defaults_factory(config: Any = None, debug: bool = False) -> Starlette:
    return starlette_app


def factory_of_factory() -> Callable[[], Flask]:
    return factory


def coroutine_factory() -> Any:
    return async_factory()


@pytest.mark.parametrize(
    ("thing", "interface"),
    [
        (flask_app, "wsgi"),
        (flask_app.wsgi_app, "wsgi"),
        (ProxyFix(flask_app.wsgi_app), "wsgi"),
        (DispatcherMiddleware(flask_app, {}), "wsgi"),
        (starlette_app, "asgi"),
        (GZipMiddleware(starlette_app), "asgi"),
        (wsgi, "wsgi"),
        (wsgi_with_options, "wsgi"),
        (asgi, "asgi"),
        (rsgi, "rsgi"),
        (sync_asgi, "asgi"),
        (transparent(wsgi), "wsgi"),
        (transparent(asgi), "asgi"),
        (transparent(sync_asgi), "asgi"),
        (opaque(wsgi), "wsgi"),
        (functools.partial(wsgi_with_options, debug=True), "wsgi"),
        (functools.partial(asgi), "asgi"),
        (functools.partial(lambda extra, scope, receive, send: None, "extra"), "asgi"),
        (functools.partial(AsgiObject()), "asgi"),
        (WsgiObject(), "wsgi"),
        (WsgiObject().__call__, "wsgi"),
        (WsgiPerRequest, "wsgi"),
        (WsgiClassWithoutArguments, "wsgi"),
        (AsgiObject(), "asgi"),
        (AsgiObject, "asgi"),
        (AsgiVarargs(), "asgi"),
        (Rsgi(), "rsgi"),
        (Rsgi, "rsgi"),
        (factory, "wsgi"),
        (flask_factory, "wsgi"),
        (two_defaults_factory, "asgi"),
        (functools.partial(flask_factory, "production"), "wsgi"),
        (wsgi_forwarded(flask_app), "wsgi"),
        (asgi_forwarded(starlette_app), "asgi"),
        (dict.fromkeys, "wsgi"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", type(value).__name__),
)
def test_the_calling_convention_tells(thing: Any, interface: str) -> None:
    found, app = detect(thing)
    assert found == interface
    assert callable(app) or hasattr(app, "__rsgi__")


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        ("text", "an object of type str, which cannot be called"),
        (sys, "module sys, which cannot be called"),
        (LikeAiohttp(), "brings its own server: start that with `command:`"),
        (LikeTornado(), "brings its own server: start that with `command:`"),
        (coroutine_factory, "brings its own server: start that with `command:`"),
        (async_factory, "async factory: make it a plain function"),
        (Asgi2, "guarantee_single_callable"),
        (factory_of_factory, "wants to be called again"),
        (lambda a, b, c, d: None, "takes neither"),
    ],
)
def test_what_is_no_app_is_told_in_a_sentence(thing: Any, sentence: str) -> None:
    with pytest.raises(CannotServe, match=sentence):
        detect(thing)


# --- from the text of `app:` ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(source: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder as the runner has it; its modules are forgotten afterwards."""
    monkeypatch.chdir(source)
    monkeypatch.syspath_prepend(str(source))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield source
    for name in set(sys.modules) - before:
        del sys.modules[name]


SHOP = """
import os
from flask import Flask
application = Flask(__name__)
def make(): return application
def count(calls=[]):
    calls.append(1)
    assert len(calls) == 1
    return application
class holder: inner = application
"""


@pytest.mark.parametrize(
    "target", ["shop:application", "shop:make()", "shop:make", "shop:holder.inner", "shop:count()"]
)
def test_the_target_names_an_object_or_a_factory(folder: Path, target: str) -> None:
    a_tree(folder, {"shop.py": SHOP})
    assert find(target)[0] == "wsgi"


def test_a_package_is_found_as_a_module_of_its_own_name(folder: Path) -> None:
    a_tree(
        folder, {"__init__.py": "", "store/__init__.py": "", "store/wsgi.py": "def app(environ, start_response): ..."}
    )
    assert find("store.wsgi:app")[1].__module__ == "store.wsgi"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("shop", "write it as `module:attribute`"),
        (":app", "write it as `module:attribute`"),
        ("shops:app", "there is no module `shops`; the source has `shop`, `store`$"),
        ("store.wsgi:app", r"there is no module `store\.wsgi`"),
        ("shop:aplication", "module `shop` has no `aplication`; did you mean `application`\\?"),
        ("shop:zzz", "module `shop` has no `zzz`; it has `application`, `make`, `count`, `holder`$"),
        ("shop:application()", ".*"),
    ],
)
def test_a_target_that_names_nothing_is_told_with_what_there_is(folder: Path, target: str, sentence: str) -> None:
    a_tree(folder, {"shop.py": SHOP, "store/__init__.py": "", "notes.txt": ""})
    with pytest.raises((CannotServe, TypeError), match=sentence):
        find(target)


def test_a_module_missing_inside_the_app_is_the_apps_own_error(folder: Path) -> None:
    a_tree(folder, {"shop.py": "import no_such_package\n"})
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        find("shop:app")


def test_a_sub_module_missing_inside_the_apps_own_package_is_its_own_error_too(folder: Path) -> None:
    a_tree(folder, {"store/__init__.py": "import store.missing\n"})
    with pytest.raises(ModuleNotFoundError, match=r"store\.missing"):
        find("store:app")
