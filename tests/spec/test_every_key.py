"""Nothing is accepted in silence: each key that this version takes changes what is wanted, and what is done about it."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

import fairlead
from fairlead.core import model
from fairlead.core.desired import Revision
from fairlead.core.differences import differences
from fairlead.core.model import Release, Stack
from fairlead.core.routing import group_of
from fairlead.core.traffic import Routing, Target
from fairlead.haproxy.render import Place, render
from fairlead.haproxy.servers import Member, full_name
from fairlead.spec.support import SUPPORTED, answers
from tests.spec.builders import a_balancer, a_service, stack_of

PLACE = Place(runtime_socket="/s", pidfile="/p", state_file="/f", fd_limit=4096, threads=1, tls_folder="/tls")

RANDOM = "algorithm: weighted_random"
APP_COOKIE = "type: app_cookie, cookie: SID"
ALARM = "alarms: [{{when: {}, {}, for: {}, {}}}]\n"
JOB = "jobs: {{a: {{service: web, command: {}, cron: '{}', timezone: {}, timeout: {}}}}}\n"


def in_part(part: str, key: str, one: str, other: str, beside: str = "") -> tuple[str, str]:
    """Two files: a service with that part, and in it the key with one value and the other."""
    texts = (f"{part}: {{{', '.join(filter(None, (beside, f'{key}: {value}')))}}}" for value in (one, other))
    first, second = map(a_service, texts)
    return first, second


def of_service(one: str, other: str) -> tuple[str, str]:
    return a_service(one), a_service(other)


def of_balancer(key: str, one: str, other: str) -> tuple[str, str]:
    return a_balancer(f"{key}: {one}"), a_balancer(f"{key}: {other}")


def listening(one: str, other: str, beside: str = "default: {forward: web}") -> tuple[str, str]:
    first, second = (a_balancer(f"listeners: [{{{', '.join((text, beside))}}}]") for text in (one, other))
    return first, second


def when(one: str, other: str) -> tuple[str, str]:
    first, second = (f"port: 80, rules: [{{when: {{{text}}}, respond: {{status: 404}}}}]" for text in (one, other))
    return listening(first, second)


def then(one: str, other: str, *, default: bool) -> tuple[str, str]:
    """The action of a rule, or of the default, beside a second service."""
    texts = []
    for text in (one, other):
        usual = "default: {forward: {web: 1, api: 1}}"
        listener = f"default: {{{text}}}" if default else f"rules: [{{when: {{path: /a}}, {text}}}], {usual}"
        reached = "{port: 81, default: {forward: {web: 1, api: 1}}}"
        texts.append(
            a_service() + "  api: {command: x}\n"
            f"load_balancer:\n  listeners:\n    - {{port: 80, {listener}}}\n    - {reached}\n"
        )
    return texts[0], texts[1]


def actions(where: str, *, default: bool) -> dict[str, tuple[str, str]]:
    pairs = {
        "forward": ("forward: {web: 1, api: 2}", "forward: {web: 1, api: 3}"),
        "stickiness": ("forward: {web: 1, api: 2}", "forward: {web: 1, api: 2}, stickiness: 1d"),
    }
    same = {"protocol": "HTTPS", "host": "a.test", "port": "81", "path": "/b", "query": "c"}
    new = {"protocol": "HTTP", "host": "b.test", "port": "82", "path": "/c", "query": "d"}
    for key in same:
        first, second = ({**same, key: values[key]} for values in (same, new))
        one, other = (
            "redirect: {status: 301, " + ", ".join(f"{k}: {v}" for k, v in values.items()) + "}"
            for values in (first, second)
        )
        pairs[f"redirect.{key}"] = (one, other)
    pairs["redirect.status"] = ("redirect: {host: a.test, status: 301}", "redirect: {host: a.test, status: 302}")
    pairs["respond.status"] = ("respond: {status: 200}", "respond: {status: 201}")
    pairs["respond.content_type"] = ("respond: {status: 200}", "respond: {status: 200, content_type: text/html}")
    pairs["respond.body"] = ("respond: {status: 200}", "respond: {status: 200, body: x}")
    return {f"{where}.{key}": then(*pair, default=default) for key, pair in pairs.items()}


def scaled(one: str, other: str, beside: str = "") -> tuple[str, str]:
    """Two files with a group that differs in one of its keys."""
    first, second = (
        a_service(f"scaling: {{{', '.join(filter(None, ('max: 8', text, beside)))}}}") for text in (one, other)
    )
    return first, second


def policies(one: str, other: str) -> tuple[str, str]:
    """Two files with a policy, each in braces; there is a custom metric `q`."""
    first, second = (
        f"custom_metrics: {{q: {{command: x}}}}\nscaling: {{max: 8, policies: [{text}]}}" for text in (one, other)
    )
    return of_service(first, second)


def target(one: str, other: str) -> tuple[str, str]:
    return policies(f"{{target: {{{one}}}}}", f"{{target: {{{other}}}}}")


def step(one: str, other: str, steps: str = "{from: 0, by: 10}") -> tuple[str, str]:
    first, second = (
        f"{{step: {{metric: 'custom:q', threshold: 9, {text}, steps: [{steps}]}}}}" for text in (one, other)
    )
    return policies(first, second)


def steps(one: str, other: str) -> tuple[str, str]:
    first, second = (f"{{step: {{metric: 'custom:q', threshold: 9, steps: [{text}]}}}}" for text in (one, other))
    return policies(first, second)


def scheduled(one: str, other: str) -> tuple[str, str]:
    usual = {"name": "a", "cron": "'0 8 * * *'", "min": "2"}
    pair = []
    for text in (one, other):
        key, _, value = text.partition(": ")
        pair.append(", ".join(f"{name}: {said}" for name, said in {**usual, key: value}.items()))
    return scaled(f"schedule: [{{{pair[0]}}}]", f"schedule: [{{{pair[1]}}}]")


def metric(one: str, other: str) -> tuple[str, str]:
    return of_service(f"custom_metrics: {{q: {{{one}}}}}", f"custom_metrics: {{q: {{{other}}}}}")


def of_data(section: str, one: str, other: str) -> tuple[str, str]:
    """Two files with one cache, database or bucket."""
    first, second = (a_service() + f"{section}: {{d: {{{text}}}}}\n" for text in (one, other))
    return first, second


HEALTH, GROUP = "services.ID.health_check", "services.ID.target_group"
SCALING, POLICY = "services.ID.scaling", "services.ID.scaling.policies.ID"
SCHEDULE, METRIC = "services.ID.scaling.schedule.ID", "services.ID.custom_metrics.ID"
PERCENT = "adjustment: percent_change_in_capacity"
BALANCER, LISTENER = "load_balancer", "load_balancer.listeners.ID"
HTTPS = "port: 443, protocol: HTTPS, certificates: "

PAIRS: dict[str, tuple[str, str]] = {
    "name": (a_service(), a_service().replace("name: shop", "name: shoe")),
    "services.ID.app": (a_service(program="app: 'a:b'"), a_service(program="app: 'a:c'")),
    "services.ID.command": (a_service(program="command: x"), a_service(program="command: y")),
    "services.ID.targets": (
        a_service(program="targets: ['127.0.0.1:9000']"), a_service(program="targets: ['127.0.0.1:9001']"),
    ),
    "services.ID.source": of_service("source: a", "source: b"),
    "services.ID.python": of_service("python: '3.11'", "python: '3.12'"),
    "services.ID.threads": of_service("threads: 8", "threads: 9"),
    "services.ID.build": of_service("build: x", "build: y"),
    "services.ID.before_traffic": of_service("before_traffic: x", "before_traffic: y"),
    "services.ID.environment": of_service("environment: {A: b}", "environment: {A: c}"),
    "services.ID.secrets": of_service("secrets: [A]", "secrets: [B]"),
    "services.ID.max_memory": of_service("max_memory: 1GB", "max_memory: 2GB"),
    "services.ID.max_lifetime": of_service("max_lifetime: 1d", "max_lifetime: 2d"),
    "services.ID.instances": of_service("instances: 2", "instances: 3"),
    f"{SCALING}.min": scaled("min: 1", "min: 2"),
    f"{SCALING}.desired": scaled("desired: 1", "desired: 2"),
    f"{SCALING}.max": of_service("scaling: {max: 2}", "scaling: {max: 3}"),
    f"{SCALING}.warm_up": scaled("warm_up: 1s", "warm_up: 2s"),
    f"{SCALING}.warm_pool": scaled("warm_pool: 1", "warm_pool: 2"),
    f"{SCALING}.reuse_on_scale_in": scaled("reuse_on_scale_in: true", "reuse_on_scale_in: false", "warm_pool: 1"),
    f"{SCALING}.scale_out_cooldown": scaled("scale_out_cooldown: 1s", "scale_out_cooldown: 2s"),
    f"{SCALING}.scale_in_cooldown": scaled("scale_in_cooldown: 1s", "scale_in_cooldown: 2s"),
    f"{SCALING}.termination_policy": scaled("termination_policy: default", "termination_policy: oldest_instance"),
    **{
        f"{POLICY}.{key}": policies(*(f"{{target: {{metric: cpu, value: 60%}}, {key}: {value}}}" for value in values))
        for key, values in {
            "period": ("1s", "2s"), "scale_out_after": "34", "scale_in_after": "56", "scale_in": ("true", "false"),
        }.items()
    },
    f"{POLICY}.target.metric": target("metric: cpu, value: 60%", "metric: memory, value: 60%"),
    f"{POLICY}.target.value": target("metric: cpu, value: 60%", "metric: cpu, value: 70%"),
    f"{POLICY}.step.metric": policies(
        *(f"{{step: {{metric: {name}, threshold: 9, steps: [{{from: 0, by: 1}}]}}}}" for name in ("outstanding", "'custom:q'"))
    ),
    f"{POLICY}.step.threshold": policies(
        *(f"{{step: {{metric: outstanding, threshold: {size}, steps: [{{from: 0, by: 1}}]}}}}" for size in "89")
    ),
    f"{POLICY}.step.comparison": step("comparison: above", "comparison: below", "{to: 5, by: 1}, {from: 5, by: 2}"),
    f"{POLICY}.step.adjustment": step("adjustment: change_in_capacity", "adjustment: exact_capacity"),
    f"{POLICY}.step.min_adjustment": step(f"{PERCENT}, min_adjustment: 2", f"{PERCENT}, min_adjustment: 3"),
    f"{POLICY}.step.cooldown": step("cooldown: 1s", "cooldown: 2s"),
    f"{POLICY}.step.steps.ID.from": steps("{from: 0, by: 1}", "{from: 1, by: 1}"),
    f"{POLICY}.step.steps.ID.to": steps("{to: 5, by: 1}, {from: 5, by: 2}", "{to: 6, by: 1}, {from: 6, by: 2}"),
    f"{POLICY}.step.steps.ID.by": steps("{from: 0, by: 1}", "{from: 0, by: 2}"),
    f"{SCHEDULE}.name": scheduled("name: a", "name: b"),
    f"{SCHEDULE}.cron": scheduled("cron: '0 8 * * *'", "cron: '0 9 * * *'"),
    f"{SCHEDULE}.timezone": scheduled("timezone: UTC", "timezone: Europe/Paris"),
    f"{SCHEDULE}.min": scheduled("min: 2", "min: 3"),
    f"{SCHEDULE}.desired": scheduled("desired: 2", "desired: 3"),
    f"{SCHEDULE}.max": scheduled("max: 2", "max: 3"),
    f"{METRIC}.command": metric("command: x", "command: y"),
    f"{METRIC}.url": metric("url: 'http://a.test/', field: q", "url: 'http://b.test/', field: q"),
    f"{METRIC}.field": metric("url: 'http://a.test/', field: q", "url: 'http://a.test/', field: r"),
    f"{METRIC}.series": metric("url: 'http://a.test/', series: q", "url: 'http://a.test/', series: r"),
    f"{METRIC}.every": metric("command: x, every: 1s", "command: x, every: 2s"),
    "services.ID.after": (
        a_service() + "  w: {command: x, port: none}\n", a_service("after: [w]") + "  w: {command: x, port: none}\n",
    ),
    "services.ID.port": (
        a_service(program="command: x"), a_service("port: none", program="command: x"),
    ),
    f"{HEALTH}.enabled": in_part("health_check", "enabled", "true", "false"),
    f"{HEALTH}.path": in_part("health_check", "path", "/a", "/b"),
    f"{HEALTH}.host": in_part("health_check", "host", "a.test", "b.test"),
    f"{HEALTH}.protocol": in_part("health_check", "protocol", "HTTP", "TCP"),
    f"{HEALTH}.port": tuple(a_service(f"health_check: {{port: {port}}}", program="command: x") for port in (81, 82)),
    f"{HEALTH}.interval": in_part("health_check", "interval", "5s", "6s"),
    f"{HEALTH}.timeout": in_part("health_check", "timeout", "1s", "2s"),
    f"{HEALTH}.healthy_threshold": in_part("health_check", "healthy_threshold", "2", "3"),
    f"{HEALTH}.unhealthy_threshold": in_part("health_check", "unhealthy_threshold", "2", "3"),
    f"{HEALTH}.matcher": in_part("health_check", "matcher", "200", "201"),
    f"{HEALTH}.grace_period": in_part("health_check", "grace_period", "1s", "2s"),
    f"{HEALTH}.replace_unhealthy": in_part("health_check", "replace_unhealthy", "true", "false"),
    f"{GROUP}.protocol": tuple(
        a_service(f"target_group: {{protocol: {protocol}}}", program="command: x")
        + f"load_balancer: {{listeners: [{{{HTTPS}local, default: {{forward: web}}}}]}}\n"
        for protocol in ("HTTP1", "HTTP2")
    ),
    f"{GROUP}.algorithm": in_part("target_group", "algorithm", "round_robin", "weighted_random"),
    f"{GROUP}.anomaly_mitigation": in_part("target_group", "anomaly_mitigation", "true", "false", RANDOM),
    f"{GROUP}.retry": in_part("target_group", "retry", "safe_methods", "off"),
    f"{GROUP}.unsafe_methods": in_part("target_group", "unsafe_methods", "fresh_connection", "pooled"),
    f"{GROUP}.connect_timeout": in_part("target_group", "connect_timeout", "1s", "2s"),
    f"{GROUP}.deregistration_delay": in_part("target_group", "deregistration_delay", "1s", "2s"),
    f"{GROUP}.slow_start": in_part("target_group", "slow_start", "30s", "40s"),
    f"{GROUP}.stickiness": in_part("target_group", "stickiness", "none", "{type: lb_cookie}"),
    f"{GROUP}.stickiness.type": in_part("target_group", "stickiness", "{type: lb_cookie}", f"{{{APP_COOKIE}}}"),
    f"{GROUP}.stickiness.cookie": in_part(
        "target_group", "stickiness", f"{{{APP_COOKIE}}}", "{type: app_cookie, cookie: ID}"
    ),
    f"{GROUP}.stickiness.duration": in_part(
        "target_group", "stickiness", "{type: lb_cookie, duration: 1h}", "{type: lb_cookie, duration: 2h}"
    ),
    "services.ID.deploy.min_healthy": in_part("deploy", "min_healthy", "50%", "60%"),
    "services.ID.deploy.max_healthy": in_part("deploy", "max_healthy", "200%", "199%", "min_healthy: 0%"),
    "services.ID.deploy.stop_timeout": in_part("deploy", "stop_timeout", "1s", "2s"),
    "services.ID.deploy.keep_releases": in_part("deploy", "keep_releases", "1", "2"),
    "jobs.ID.service": tuple(
        a_service() + "  w: {command: x, port: none}\n"
        + JOB.format("x", "0 3 * * *", "UTC", "1m").replace("service: web", f"service: {name}")
        for name in ("web", "w")
    ),
    "jobs.ID.command": tuple(a_service() + JOB.format(one, "0 3 * * *", "UTC", "1m") for one in "xy"),
    "jobs.ID.cron": tuple(a_service() + JOB.format("x", f"0 {one} * * *", "UTC", "1m") for one in "34"),
    "jobs.ID.timezone": tuple(a_service() + JOB.format("x", "0 3 * * *", one, "1m") for one in ("UTC", "Europe/Paris")),
    "jobs.ID.timeout": tuple(a_service() + JOB.format("x", "0 3 * * *", "UTC", one) for one in ("1m", "2m")),
    f"{BALANCER}.address": of_balancer("address", "127.0.0.1", "0.0.0.0"),
    f"{BALANCER}.idle_timeout": of_balancer("idle_timeout", "60s", "50s"),
    f"{BALANCER}.client_keep_alive": of_balancer("client_keep_alive", "1h", "2h"),
    f"{BALANCER}.forwarded_for": of_balancer("forwarded_for", "append", "remove"),
    f"{BALANCER}.desync_mitigation": of_balancer("desync_mitigation", "defensive", "monitor"),
    f"{BALANCER}.drop_invalid_headers": of_balancer("drop_invalid_headers", "false", "true"),
    f"{BALANCER}.preserve_host": of_balancer("preserve_host", "true", "false"),
    f"{BALANCER}.access_log": of_balancer("access_log", "true", "false"),
    f"{LISTENER}.port": listening("port: 80", "port: 81"),
    f"{LISTENER}.protocol": listening("port: 443", f"{HTTPS}local"),
    f"{LISTENER}.certificates": listening(f"{HTTPS}local", f"{HTTPS}[{{file: a, key: b}}]"),
    f"{LISTENER}.certificates.ID.file": listening(f"{HTTPS}[{{file: a, key: b}}]", f"{HTTPS}[{{file: c, key: b}}]"),
    f"{LISTENER}.certificates.ID.key": listening(f"{HTTPS}[{{file: a, key: b}}]", f"{HTTPS}[{{file: a, key: c}}]"),
    f"{LISTENER}.rules.ID.when.path": when("path: /a", "path: /b"),
    f"{LISTENER}.rules.ID.when.host": when("host: a.test", "host: b.test"),
    f"{LISTENER}.rules.ID.when.method": when("method: GET", "method: POST"),
    f"{LISTENER}.rules.ID.when.header": when("header: {X-A: b}", "header: {X-A: c}"),
    f"{LISTENER}.rules.ID.when.query": when("query: {a: b}", "query: {a: c}"),
    f"{LISTENER}.rules.ID.when.source_ip": when("source_ip: 10.0.0.0/8", "source_ip: 10.0.0.0/9"),
    **actions(f"{LISTENER}.rules.ID", default=False),
    **actions(f"{LISTENER}.default", default=True),
    "caches.ID.engine": of_data("caches", "url: 'redis://a'", "engine: redis"),
    "caches.ID.url": of_data("caches", "url: 'redis://a'", "url: 'redis://b'"),
    **{
        f"caches.ID.{key}": of_data("caches", *(f"engine: redis, {key}: {value}" for value in values))
        for key, values in {
            "memory": ("64MB", "128MB"), "eviction": ("noeviction", "allkeys-lfu"), "persist": ("true", "false"),
        }.items()
    },
    "databases.ID.engine": of_data("databases", "engine: mysql", "engine: postgres"),
    "databases.ID.url": of_data("databases", "url: 'mysql://a/b'", "url: 'mysql://a/c'"),
    **{
        f"databases.ID.{key}": of_data("databases", *(f"engine: mysql, {key}: {value}" for value in values))
        for key, values in {"name": "ab", "user": "ab", "version": ("10", "'10.11'")}.items()
    },
    "buckets.ID.url": of_data("buckets", "url: 's3://abc'", "url: 's3://abd'"),
    "network.zones": (a_service() + "network: {zones: 1}\n", a_service() + "network: {zones: 2}\n"),
    "alarms.ID.when": tuple(
        a_service() + ALARM.format(one, "above: 1", "1m", "command: x") for one in ("unhealthy_targets", "healthy_targets")
    ),
    "alarms.ID.above": tuple(
        a_service() + ALARM.format("unhealthy_targets", f"above: {one}", "1m", "command: x") for one in "12"
    ),
    "alarms.ID.below": tuple(
        a_service() + ALARM.format("healthy_targets", f"below: {one}", "1m", "command: x") for one in "12"
    ),
    "alarms.ID.for": tuple(
        a_service() + ALARM.format("healthy_targets", "below: 1", one, "command: x") for one in ("1m", "2m")
    ),
    "alarms.ID.webhook": tuple(
        a_service() + ALARM.format("healthy_targets", "below: 1", "1m", f"webhook: 'https://a.test/{one}'") for one in "bc"
    ),
    "alarms.ID.command": tuple(
        a_service() + ALARM.format("healthy_targets", "below: 1", "1m", f"command: {one}") for one in "bc"
    ),
}  # fmt: skip
"""For each key two files that differ in nothing else."""

NOT_THE_BALANCERS = {
    f"{HEALTH}.grace_period": "core: when an unhealthy instance is replaced",
    f"{HEALTH}.replace_unhealthy": "core: whether it is",
    f"{LISTENER}.certificates": "the node writes certificates into a folder of its own",
    f"{LISTENER}.certificates.ID.file": "as above",
    f"{LISTENER}.certificates.ID.key": "as above",
}
"""Keys of the balancer's parts that its configuration does not show, and who reads them."""


ELSEWHERE = {
    "name", *(f"services.ID.{key}" for key in ("app", "command", "source", "python", "threads", "build", "before_traffic", "environment",
                                        "secrets", "port"))
}  # fmt: skip
"""Of another name it is another stack. The others show as a new release, and whether there is one is not asked here."""


def configuration(text: str) -> str:
    """What HAProxy would be given, with one target in each group: one that ramps and answers with errors."""
    stack = stack_of(text)
    groups = tuple(group_of(service) for service in stack.services if service.serves)
    routing = Routing(
        stack=stack.name, listeners=stack.listeners, groups=groups, check_token="t", attributes=stack.attributes
    )
    targets = (
        Target(group=full_name(stack.name, one), id="x-1", number=1, address="127.0.0.1:1", mode="in_service")
        for one in groups
    )
    return render([routing], [Member(target=target, ramps=True, weight=10) for target in targets], PLACE)


def test_each_key_that_is_answered_with_yes_has_its_two_files() -> None:
    assert set(PAIRS) >= {key for key, answer in answers().items() if answer == "yes"} >= SUPPORTED


@pytest.mark.parametrize("key", PAIRS)
def test_a_key_changes_what_is_wanted_and_plan_says_so(key: str) -> None:
    before, after = map(stack_of, PAIRS[key])
    assert before != after
    assert differences(revision(before), revision(after)) or key in ELSEWHERE


def revision(stack: Stack) -> Revision:
    shared = Release(service="", number=1, fingerprint="", source="", environment_folder=None, argv=(), address="unix")
    return Revision(stack=stack, releases={one.name: shared for one in stack.services})


@pytest.mark.parametrize("key", [key for key in PAIRS if key.startswith((HEALTH, GROUP, BALANCER))])
def test_a_key_of_the_balancer_changes_its_configuration(key: str) -> None:
    before, after = map(configuration, PAIRS[key])
    assert (before == after) == (key in NOT_THE_BALANCERS)


def test_all_that_a_stack_holds_is_read_by_somebody() -> None:
    """Beside the file's reader, that is, and the model itself."""
    source = Path(fairlead.__file__).parent
    files = [path for path in source.rglob("*.py") if "spec" not in path.parts and path.name != "model.py"]
    read = {
        node.attr
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    kinds = [kind for kind in vars(model).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    fields = {f"{kind.__name__}.{field.name}" for kind in kinds for field in dataclasses.fields(kind)}
    assert {name for name in fields if name.split(".")[1] not in read} == set()
