"""What the environment says, read once as the app starts. A value that makes no sense stops it, with a sentence.

Lengths of time are seconds, or have a unit: 30s, 10m, 1h, 7d. No sentence and no `repr` shows a key or a password.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class SettingsError(Exception):
    """A setting that makes no sense: which one, and what it may be."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All times in seconds."""

    cache_url: str = field(default="", repr=False)
    """Of the Redis that all instances share (CACHING_SERVER); "": none, each instance has its own memory only."""
    cache_timeout: float = 0.3
    """CACHE_TIMEOUT: how long Redis may take for one command, before the app goes on without it."""
    lifetime: float = 86400.0
    """CACHE_LIFETIME: how long an answer is fresh; a day. In its last fifth it is renewed as soon as it is used."""
    stale: float = 30 * 86400.0
    """STALE_LIFETIME: how long after that it is still told, as stale, when no newer one can be had; 30 days."""
    unknown: float = 600.0
    """UNKNOWN_LIFETIME: how long "nobody knows where that is" is kept; ten minutes."""
    failed: float = 10.0
    """FAILURE_LIFETIME: how long an address is left alone after a call that failed."""
    key: str = field(default="", repr=False)
    """IPSTACK_KEY; "": the bundled table answers."""
    url: str = "https://api.ipstack.com"
    """IPSTACK_URL: for a plan without HTTPS, http://api.ipstack.com."""
    timeout: float = 3.0
    """UPSTREAM_TIMEOUT: how long one call may take, all in all."""
    budget: int = 100
    """UPSTREAM_BUDGET: calls in a calendar month (UTC) of all instances together; ipstack's free plan has 100."""
    instance: str = "local"
    """FAIRLEAD_INSTANCE, else the name of the machine."""


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings; SettingsError names the first that makes no sense. Empty is the same as not set."""
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    default = Settings()
    return Settings(
        cache_url=redis_url(given.get("CACHING_SERVER", "")),
        cache_timeout=_seconds(given, "CACHE_TIMEOUT", default.cache_timeout),
        lifetime=_seconds(given, "CACHE_LIFETIME", default.lifetime),
        stale=_seconds(given, "STALE_LIFETIME", default.stale),
        unknown=_seconds(given, "UNKNOWN_LIFETIME", default.unknown),
        failed=_seconds(given, "FAILURE_LIFETIME", default.failed),
        key=_key(given.get("IPSTACK_KEY", "")),
        url=_base(given.get("IPSTACK_URL", default.url)),
        timeout=_seconds(given, "UPSTREAM_TIMEOUT", default.timeout),
        budget=_count(given, "UPSTREAM_BUDGET", default.budget),
        instance=given.get("FAIRLEAD_INSTANCE") or socket.gethostname(),
    )


def redis_url(server: str) -> str:
    """CACHING_SERVER as a URL: it may be a URL, `host:port`, or a host alone (port 6379); "" stays ""."""
    if not server:
        return ""
    # An IPv6 address is the one thing with several colons that is no URL.
    bare = "://" not in server and server.count(":") > 1 and not server.startswith("[")
    url = server if "://" in server else f"redis://[{server}]" if bare else f"redis://{server}"
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("redis", "rediss") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = False
    if not fine or re.search(r"\s", url):
        # Not shown: a URL may hold a password.
        raise SettingsError("CACHING_SERVER must be a host, host:port, or redis://[user:password@]host:port/number")
    return url


def _seconds(given: Mapping[str, str], name: str, default: float) -> float:
    if name not in given:
        return default
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d|)", given[name])
    seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not 0.001 <= seconds <= 3650 * 86400:
        raise SettingsError(f"{name} must be a length of time above 0, as 30s, 10m, 1h, 7d: not {given[name]!r}")
    return seconds


def _count(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", text):
        raise SettingsError(f"{name} must be a number of calls, 0 or more: not {text!r}")
    return int(text)


def _key(key: str) -> str:
    if not re.fullmatch(r"[!-~]{0,200}", key):
        raise SettingsError("IPSTACK_KEY must be one word of ASCII characters, as ipstack shows it")
    return key


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        fine = False
    if not fine or parts.query or parts.fragment:
        raise SettingsError("IPSTACK_URL must be an address as https://api.ipstack.com")
    return url.rstrip("/")
