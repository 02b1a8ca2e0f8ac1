"""What the user asked for, as values: a stack, its services, listeners and releases.

`spec` makes them from the file, `store` keeps them as JSON, `control` and the pure decisions read them.
Durations are seconds, percentages whole numbers, addresses text (`unix:/path`, `127.0.0.1:20001`).
One file, though long: values alone, which name each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fairlead.core.interpolation import references
from fairlead.core.resources.model import Resource
from fairlead.core.scaling.group import Sizes
from fairlead.core.scaling.policies import CustomMetric, Scaling


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How the balancer asks a target whether it is well (aws-semantics B5)."""

    enabled: bool = True
    """False: requests go to every target whose program runs, whatever it answers."""
    protocol: Literal["HTTP", "TCP", "GRPC"] = "HTTP"
    """TCP: a connection that is accepted is enough; path, host and matcher mean nothing then. GRPC: of a target group
    that speaks it."""
    port: int | None = None
    """Where to ask; None: where requests go (`traffic`)."""
    path: str = "/"
    host: str = "localhost"
    interval: float = 5.0
    """Seconds between checks of a target in service; one that is not is checked every 0.2 s."""
    timeout: float = 2.0
    healthy_threshold: int = 2
    unhealthy_threshold: int = 2
    matcher: str = "200"
    """Codes that pass: `200`, `200,302`, `200-299`. Of a target group with protocol GRPC they are gRPC's: `12`."""
    grace_period: float = 30.0
    """Seconds after a launch during which unhealthy does not yet mean replace."""
    replace_unhealthy: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stickiness:
    """A client's requests go to the target that answered its first (aws-semantics B4)."""

    cookie: str | None = None
    """The app's cookie (`app_cookie`): a client sticks from the response that sets it. None: `lb_cookie`."""
    duration: float = 86400.0
    """Seconds; each response begins them anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroupAttributes:
    """How requests of a service reach its targets (aws-semantics B2)."""

    protocol: Literal["HTTP1", "HTTP2", "GRPC"] = "HTTP1"
    """What targets speak; HTTP2 is h2c."""
    algorithm: Literal["round_robin", "least_outstanding_requests", "weighted_random"] = "round_robin"
    anomaly_mitigation: bool = False
    """With weighted_random: targets that answer with errors get fewer requests."""
    retry: Literal["safe_methods", "off"] = "safe_methods"
    unsafe_methods: Literal["fresh_connection", "pooled"] = "fresh_connection"
    connect_timeout: float = 0.1
    """Seconds; also the longest pause before a retry."""
    deregistration_delay: float = 30.0
    slow_start: float = 0.0
    """Seconds over which a new target's share of the requests grows; 0: it has all of it at once."""
    stickiness: Stickiness | None = None


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
class Targets:
    """`targets:`: addresses (`10.0.0.7:9000`, `[::1]:9000`) that fairlead routes to and checks, but does not run."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A program with its size, health check and deployment rules. `min = desired = max` for `instances: N`."""

    name: str
    program: App | Command | Targets
    source: str
    """The folder that is copied into each release, absolute. Of `targets:` there is no release."""
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
    """May hold `${instance.*}`, `${secrets.NAME}` and `${databases.ID.url}` and its like: put in at each launch."""
    secrets: Mapping[str, int] = field(default_factory=dict)
    """The secrets it refers to, each with the number of its value in the vault (`control.references`): another value is
    another release. From the file they come with 0."""
    external: Mapping[str, str] = field(default_factory=dict)
    """The resources it refers to that exist already, each with its `url`: another url is another release."""
    minimum: int = 1
    desired: int = 1
    maximum: int = 1
    health_check: HealthCheck = HealthCheck()
    target_group: TargetGroupAttributes = TargetGroupAttributes()
    stop_timeout: float = 30.0
    min_healthy: int = 100
    """Percent of desired, rounded up, that a deployment keeps in service."""
    max_healthy: int = 200
    """Percent of desired, rounded down, that a deployment may run at once."""
    cpu: float = 1.0
    """Cores that an instance reserves: 100 percent of CPUUtilization."""
    memory: int | None = None
    """Bytes that an instance reserves: 100 percent of MemoryUtilization. None: the machine's, divided by `maximum`."""
    max_memory: int | None = None
    """Bytes; an instance above it for a minute is replaced. None: never."""
    max_lifetime: float | None = None
    """Seconds after which an instance is replaced. None: never."""
    keep_releases: int = 5
    """Releases that stay on the disk, beside those that instances still run."""
    scaling: Scaling | None = None
    """An auto scaling group; None: a fixed size."""
    custom_metrics: tuple[CustomMetric, ...] = ()

    @property
    def sizes(self) -> Sizes:
        return Sizes(minimum=self.minimum, desired=self.desired, maximum=self.maximum)

    @property
    def runs(self) -> bool:
        """Whether fairlead starts and stops its instances: all but those of `targets:`."""
        return not isinstance(self.program, Targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a rule asks of a request: every field that is not empty must hold, and of its values one suffices.

    `*` stands for any characters, `?` for one, except in methods and networks; a pattern must match the whole text
    (aws-semantics A3). `core.rules` says exactly what holds."""

    paths: tuple[str, ...] = ()
    """Compared as they are written, without the query."""
    hosts: tuple[str, ...] = ()
    """Without the port and without regard to case."""
    methods: tuple[str, ...] = ()
    """Compared as they are written."""
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(name, values), both without regard to case; each of them is a condition of its own."""
    queries: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(key, values), both patterns without regard to case, as sent (not decoded); a literal `*` or `?` has a backslash
    before it; the key "" is any. Each of them is a condition of its own."""
    source_ips: tuple[str, ...] = ()
    """Networks (`10.0.0.0/8`) of which one holds the address that the connection came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """The request goes to a service: (service, weight) each, chosen in proportion to the weights."""

    weights: tuple[tuple[str, int], ...]
    stickiness: float | None = None
    """Seconds that a client stays with the service chosen for it (cookie AWSALBTG). None: each request chooses anew."""
    kind: Literal["forward"] = "forward"

    @property
    def services(self) -> tuple[str, ...]:
        """All that are named, also with weight 0."""
        return tuple(name for name, _ in self.weights)

    @property
    def only(self) -> str | None:
        """The service that gets every request, when there is one."""
        chosen = [name for name, weight in self.weights if weight]
        return chosen[0] if len(chosen) == 1 and self.stickiness is None else None


def forward_to(service: str) -> Forward:
    """All requests to one service."""
    return Forward(weights=((service, 1),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """The client is sent elsewhere. None: that part stays as it is. `#{host}` and its kin as on an ALB (A4)."""

    status: Literal[301, 302]
    protocol: Literal["HTTP", "HTTPS", "#{protocol}"] | None = None
    host: str | None = None
    port: int | str | None = None
    """A number, or `#{port}`."""
    path: str | None = None
    query: str | None = None
    """Without its `?`; "" for none."""
    kind: Literal["redirect"] = "redirect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Respond:
    """The client gets a fixed answer."""

    status: int
    content_type: str = "text/plain"
    body: str = ""
    kind: Literal["respond"] = "respond"


Action = Forward | Redirect | Respond


def services_of(action: Action | None) -> tuple[str, ...]:
    """The services that it names."""
    return action.services if isinstance(action, Forward) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to a request for which all conditions hold."""

    when: Conditions
    then: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """PEM files of the user's, absolute: a certificate with its chain, and its private key."""

    file: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What makes a listener reach one instance alone (`fairlead instance open`), whatever its health."""

    service: str
    instance: str
    digest: str
    """sha256 of the token that a request must show, hexadecimal: the token itself is never kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A port on which the balancer takes requests, and what happens to them."""

    port: int
    default: Action | None
    """What happens to a request that no rule claims. None: every rule names hosts, and other hosts get 404, or another
    stack's listener on the same port."""
    rules: tuple[Rule, ...] = ()
    """In order; the first whose conditions all hold is used."""
    address: str = "127.0.0.1"
    protocol: Literal["HTTP", "HTTPS"] = "HTTP"
    certificates: tuple[Certificate, ...] | Literal["local"] | None = None
    """Of HTTPS, chosen by the name that the client asks for (SNI), the first the default; `local`: one of the home's
    development CA, for `localhost` and the hosts that the rules name."""
    opening: Opening | None = None
    """Never from the file."""

    @property
    def url(self) -> str:
        """Where a client on this machine reaches it: a wildcard address is shown as loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.address, self.address)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        scheme, usual = ("https", 443) if self.protocol == "HTTPS" else ("http", 80)
        return f"{scheme}://{host}" if self.port == usual else f"{scheme}://{host}:{self.port}"

    @property
    def actions(self) -> tuple[Action, ...]:
        """Of all rules, and the default."""
        return (*(rule.then for rule in self.rules), *((self.default,) if self.default else ()))

    @property
    def services(self) -> tuple[str, ...]:
        """Every service it may forward to, each once, the default first."""
        if self.opening is not None:
            return (self.opening.service,)
        actions = (self.default, *(rule.then for rule in self.rules))
        return tuple(dict.fromkeys(name for action in actions for name in services_of(action)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerAttributes:
    """What a stack asks of the balancer beside its listeners (aws-semantics A5, A6).

    Where several stacks share a port, what holds before it is known whose a request is, is the longest time-out and the
    strictest mode of all of them."""

    idle_timeout: float = 60.0
    """Seconds that client or target may be silent."""
    client_keep_alive: float = 3600.0
    """Seconds after which a client's connection is closed, behind the response that is under way."""
    forwarded_for: Literal["append", "preserve", "remove"] = "append"
    desync_mitigation: Literal["defensive", "monitor", "strictest"] = "defensive"
    drop_invalid_headers: bool = False
    preserve_host: bool = True
    access_log: bool = True
    """Whether requests are logged, in the format of an ALB (aws-semantics C1)."""


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
    attributes: LoadBalancerAttributes = LoadBalancerAttributes()
    jobs: tuple[Job, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    resources: tuple[Resource, ...] = ()
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

    @property
    def certificate_files(self) -> tuple[str, ...]:
        """Certificates and private keys of its listeners, absolute."""
        given = [one for listener in self.listeners for one in listener.certificates or () if not isinstance(one, str)]
        return tuple(path for one in given for path in (one.file, one.key))

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Every secret that it refers to, each once: of services, custom metrics, alarms and the `url` of resources."""
        urls = [one.url for service in self.services for one in service.custom_metrics]
        urls += [*(alarm.webhook for alarm in self.alarms), *(one.url for one in self.resources)]
        named = (parts[1] for url in urls for parts in references(url or "") if parts[0] == "secrets")
        return tuple(dict.fromkeys((*(name for one in self.services for name in one.secrets), *named)))

    def has(self, name: str) -> bool:
        """Whether it declares a service of that name."""
        return any(service.name == name for service in self.services)

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
    """The user's variables, complete but for what a launch puts in (`core.interpolation`)."""
    secrets: Mapping[str, int] = field(default_factory=dict)
    external: Mapping[str, str] = field(default_factory=dict)
    """As the service's."""
    interface: Literal["asgi", "wsgi", "rsgi"] | None = None
    before_traffic: tuple[str, ...] | None = None
    """As the service's; part of what makes a release."""
    created_at: str = ""
    """Wall clock, ISO 8601 UTC; display only."""
    ignored: tuple[str, ...] = ()
    """Top-level folders that .gitignore left out; named when a start fails."""
