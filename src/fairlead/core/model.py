"""What the user asked for, as values: a stack, its services, listeners and releases.

`spec` makes them from the file, `store` keeps them as JSON, `control` and the pure decisions read them.
Durations are seconds, percentages whole numbers, addresses text (`unix:/path`, `127.0.0.1:20001`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How the balancer asks a target whether it is well (aws-semantics B5)."""

    path: str = "/"
    host: str = "localhost"
    interval: float = 5.0
    """Seconds between checks of a target in service; one that is not is checked every 0.2 s."""
    timeout: float = 2.0
    healthy_threshold: int = 2
    unhealthy_threshold: int = 2
    matcher: str = "200"
    """Codes that pass: `200`, `200,302`, `200-299`."""
    grace_period: float = 30.0
    """Seconds after a launch during which unhealthy does not yet mean replace."""
    replace_unhealthy: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """`app:`: an ASGI or WSGI object that fairlead's runner serves on a Unix socket."""

    target: str
    """`module:attribute` or `module:factory()`."""
    threads: int = 16
    """WSGI: requests an instance works on at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`command:`: any program. Words may hold `${instance.port|socket|id|zone}`."""

    argv: tuple[str, ...]

    @property
    def wants_socket(self) -> bool:
        """Whether it listens on a Unix socket: it does when a word names `${instance.socket}`."""
        return any("${instance.socket}" in word for word in self.argv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A program with its size, health check and deployment rules. `min = desired = max` for `instances: N`."""

    name: str
    program: App | Command
    source: str
    """The folder that is copied into each release, absolute."""
    serves: bool = True
    """False (`port: none`): a worker. It has no address and no target group; healthy means running."""
    python: str | None = None
    build: tuple[tuple[str, ...], ...] = ()
    """Commands run once, one after the other, in the release's folder when it is made."""
    before_traffic: tuple[str, ...] | None = None
    """Run once per release, before its first instance is launched."""
    after: tuple[str, ...] = ()
    """Services that must be healthy before this one is started."""
    environment: Mapping[str, str] = field(default_factory=dict)
    minimum: int = 1
    desired: int = 1
    maximum: int = 1
    health_check: HealthCheck = HealthCheck()
    deregistration_delay: float = 30.0
    retry: Literal["safe_methods", "off"] = "safe_methods"
    stop_timeout: float = 30.0
    min_healthy: int = 100
    """Percent of desired, rounded up, that a deployment keeps in service."""
    max_healthy: int = 200
    """Percent of desired, rounded down, that a deployment may run at once."""
    max_memory: int | None = None
    """Bytes; an instance above it for a minute is replaced. None: never."""
    max_lifetime: float | None = None
    """Seconds after which an instance is replaced. None: never."""
    keep_releases: int = 5
    """Releases that stay on the disk, beside those that instances still run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a listener forwards elsewhere: a request whose path or host (exactly one of the two is given) matches.

    `*` stands for any characters, `?` for one. Paths are compared as written, hosts without regard to case."""

    forward: str
    """The service that gets it."""
    paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A port on which the balancer takes requests, and the services it forwards to."""

    port: int
    default: str | None
    """The service that gets what no rule claims. None: every rule names hosts, and other hosts get 404, or another
    stack's listener on the same port."""
    rules: tuple[Rule, ...] = ()
    """In order; the first that matches is used."""
    address: str = "127.0.0.1"
    protocol: Literal["HTTP"] = "HTTP"

    @property
    def url(self) -> str:
        """Where a client on this machine reaches it: a wildcard address is shown as loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.address, self.address)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"http://{host}" if self.port == 80 else f"http://{host}:{self.port}"

    @property
    def services(self) -> tuple[str, ...]:
        """Every service it may forward to, each once, the default first."""
        named = (*((self.default,) if self.default else ()), *(rule.forward for rule in self.rules))
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command that runs on a schedule in its service's current release; never two at once."""

    name: str
    service: str
    argv: tuple[str, ...]
    cron: str
    """Five fields, as in crontab(5)."""
    timezone: str = "UTC"
    timeout: float | None = None
    """Seconds after which it is ended. None: it may take for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Told when `metric` has been above (or below) `level` for `lasting` seconds, and when it is well again."""

    metric: Literal["unhealthy_targets", "healthy_targets"]
    comparison: Literal["above", "below"]
    level: float
    lasting: float = 60.0
    webhook: str | None = None
    """Gets a POST with JSON. Exactly one of webhook and command is given."""
    command: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Everything one fairlead.yaml declares."""

    name: str
    path: str
    """The file it came from, absolute."""
    engine: Literal["local"] = "local"
    services: tuple[Service, ...] = ()
    listeners: tuple[Listener, ...] = ()
    jobs: tuple[Job, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    zones: tuple[str, ...] = ("a",)
    """Labels that placement and termination keep balanced."""
    unenforced: tuple[str, ...] = ()
    """Keys of the file that engine and machine accept and do not enforce, e.g. `services.web.resources`: named at every
    `up`, in `status` and in `plan`."""
    places: Mapping[str, str] = field(default_factory=dict, compare=False)
    """`services.web.app` -> `fairlead.yaml:4:10`: where each value stands, for errors that show only later."""

    def service(self, name: str) -> Service:
        """The service of that name; KeyError when there is none."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def place(self, key: str) -> str:
        """Where `key` stands in the file, or the nearest key above it that does, or ""."""
        while key:
            if key in self.places:
                return self.places[key]
            key = key.rpartition(".")[0]
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One immutable version of a service: source, environment and how to start it."""

    service: str
    number: int
    fingerprint: str
    """sha256 of everything that makes an instance of it what it is; equal fingerprints are the same release."""
    source: str
    """The copied source, absolute; an instance's working folder."""
    environment_folder: str | None
    """The virtual environment (`E`, with `E/bin/python`); None when the source declares no Python dependencies and the
    program is a command."""
    argv: tuple[str, ...]
    """The program, complete but for `${instance.*}`."""
    address: Literal["unix", "tcp", "none"]
    """What its instances listen on; `none`: they serve no requests."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The user's variables, complete but for `${instance.*}`."""
    interface: Literal["asgi", "wsgi", "rsgi"] | None = None
    before_traffic: tuple[str, ...] | None = None
    """As the service's; part of what makes a release."""
    created_at: str = ""
    """Wall clock, ISO 8601 UTC; display only."""
    ignored: tuple[str, ...] = ()
    """Top-level folders that .gitignore left out; named when a start fails."""
