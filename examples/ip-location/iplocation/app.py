"""A website that says where an IP address is. ASGI: served by `app: "iplocation.app:app"`.

/           the form, and with ?ip= the answer as a page
/api/IP     the answer as JSON; /api is for the address that asks
/status     what provider, cache and budget are like now, as JSON
/health     that this process answers; it asks neither Redis nor the provider, whose absence is no reason to
            replace the instance
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from .addresses import Address, asker, parse
from .bundled import Bundled
from .headers import Headers
from .ipstack import Ipstack
from .lookups import Lookups
from .providers import Failed, Provider
from .result import Result
from .settings import Settings, settings_of
from .shared import Shared
from .words import span
from .worldmap import map_of

HERE = Path(__file__).parent

SOURCES = {
    "cache": "the cache",
    "memory": "this instance's memory",
    "provider": "the provider, just now",
    "rules": "the rules of addresses",
    "nobody": "nobody",
}
"""`Result.source` in words."""

# Starlette's own would escape what is put into .html only, not into the map.
pages = Jinja2Templates(env=Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True))
pages.env.filters["span"] = span


async def index(request: Request) -> Response:
    typed, mine = request.query_params.get("ip"), _asker(request)
    result = await find(request, parse(typed)) if typed is not None else None
    context = {
        "result": result,
        "typed": result.address.text if result else mine,
        "mine": mine,
        "map": map_of(result.place if result else None),
        "bundled": not _lookups(request).provider.metered,
        "cache": cache_state(_lookups(request)),
        "instance": _settings(request).instance,
        "sources": SOURCES,
    }
    status, headers = (result.status, result.headers) if result else (200, {})
    return pages.TemplateResponse(request, "page.html", context, status_code=status, headers=headers)


async def api(request: Request) -> Response:
    typed = request.path_params.get("ip", "") or _asker(request)
    result = await find(request, parse(typed))
    body = result.to_json(_lookups(request).provider.name, cache_state(_lookups(request)), _settings(request).instance)
    return JSONResponse(body, status_code=result.status, headers=result.headers)


async def status(request: Request) -> Response:
    lookups = _lookups(request)
    upstream: dict[str, Any] = {"provider": lookups.provider.name}
    if lookups.provider.metered:
        upstream.update(calls=await lookups.budget.used(), budget=lookups.budget.calls)
    body = {"upstream": upstream, "cache": cache_state(lookups), "instance": _settings(request).instance}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


async def health(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def find(request: Request, address: Address) -> Result:
    """Of any address: only a public one is looked up."""
    if not address.public or address.ip is None:
        return Result(address=address, status=400 if address.kind == "malformed" else 200)
    try:
        return Result(address=address, answer=await _lookups(request).find(address.ip))
    except Failed as failed:
        after = {"Retry-After": str(math.ceil(failed.retry_after))} if failed.retry_after else {}
        return Result(address=address, failure=failed.reason, status=failed.status, headers=after)


def cache_state(lookups: Lookups) -> str:
    """`reachable`, `unreachable`, or `none` when there is none."""
    if not lookups.shared.configured:
        return "none"
    return "reachable" if lookups.shared.reachable else "unreachable"


async def no_page(request: Request, problem: Exception) -> Response:
    """Of errors that are none of ours: a plain sentence."""
    assert isinstance(problem, HTTPException)
    return PlainTextResponse(f"{problem.detail}\n", status_code=problem.status_code, headers=problem.headers)


def create_app(settings: Settings, provider: Provider | None = None) -> Starlette:
    """provider: another than the settings say."""
    if provider is None:
        provider = Ipstack(settings.key, settings.url, settings.timeout) if settings.key else Bundled()
    lookups = Lookups(provider, Shared(settings.cache_url, settings.cache_timeout), settings)

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        yield
        await lookups.close()

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/api", api),
            # `path`, so that a network or a path is told what is wrong with it, too.
            Route("/api/{ip:path}", api),
            Route("/status", status),
            Route("/health", health),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Headers, instance=settings.instance)],
        exception_handlers={HTTPException: no_page},
        lifespan=living,
    )
    # A redirect would lead to whatever host the request names.
    app.router.redirect_slashes = False
    app.state.lookups, app.state.settings = lookups, settings
    return app


def _asker(request: Request) -> str:
    client = request.client.host if request.client else ""
    return asker(", ".join(request.headers.getlist("x-forwarded-for")), client)


def _lookups(request: Request) -> Lookups:
    found = request.app.state.lookups
    assert isinstance(found, Lookups)
    return found


def _settings(request: Request) -> Settings:
    return _lookups(request).settings


app = create_app(settings_of(os.environ))
