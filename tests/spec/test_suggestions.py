"""`did you mean`: keys and values that are nearly right."""

from __future__ import annotations

import pytest

from fairlead.spec.schema import File
from fairlead.spec.schema.base import part_at
from fairlead.spec.support import SUPPORTED
from fairlead.spec.unknown_keys import ALIASES, meant_key
from tests.spec.builders import a_balancer, a_service, every_key, problems_of

RULE = "listeners: [{port: 80, default: {forward: web}, rules: [{%s, forward: web}]}]"
JOB = "jobs: {j: {service: web, command: x, cron: '* * * * *', %s: UTC}}"
ALARM = "alarms: [{when: healthy_targets, below: 1, command: x, %s: 5s}]"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *(
            (a_service(f"{wrong}: x"), right)
            for wrong, right in [
                ("biuld", "build"), ("build_command", "build"), ("before_trafic", "before_traffic"), ("migrate", "before_traffic"),
                ("pre_deploy", "before_traffic"), ("depends_on", "after"), ("afer", "after"), ("memory_limit", "max_memory"),
                ("max_mem", "max_memory"), ("ttl", "max_lifetime"), ("max_life", "max_lifetime"), ("ports", "port"),
                ("keep", "deploy.keep_releases"), ("min_healthy", "deploy.min_healthy"), ("resource", "resources"),
            ]
        ),
        *(
            (a_service() + f"{wrong}: {{}}", right)
            for wrong, right in [
                ("job", "jobs"), ("crons", "jobs"), ("alerts", "alarms"), ("alarm", "alarms"), ("availability_zones", "network.zones"),
            ]
        ),
        *((a_service() + JOB % wrong, right) for wrong, right in [
            ("tz", "timezone"), ("time_zone", "timezone"), ("timzone", "timezone"), ("time_limit", "timeout"), ("tiemout", "timeout"),
            ("schedule", "cron"), ("cmd", "command"),
        ]),
        *((a_service() + ALARM % wrong, right) for wrong, right in [
            ("fro", "for"), ("duration", "for"), ("url", "webhook"), ("web_hook", "webhook"), ("over", "above"), ("metric", "when"),
        ]),
        *((a_balancer(RULE % wrong), right) for wrong, right in [
            ("if: {path: /}", "when"), ("when: {paths: /}", "path"), ("when: {hosts: a.b}", "host"), ("when: {hostname: a.b}", "host"),
        ]),
        (a_balancer("listeners: [{port: 80, default: {forward: web}, routes: []}]"), "rules"),
        *((a_balancer(RULE % wrong), right) for wrong, right in [
            ("when: {methods: GET}", "method"), ("when: {headers: {A: b}}", "header"), ("when: {query_string: {A: b}}", "query"),
            ("when: {client_ip: 10.0.0.1}", "source_ip"), ("when: {path: /}, sticky: 1h", "stickiness"),
        ]),
        (a_balancer("listeners: [{port: 80, default: {fixed_response: {status: 404}}}]"), "respond"),
        (a_service("target_group: {slowstart: 30s}"), "slow_start"),
        (a_service("upstreams: ['127.0.0.1:80']", program=""), "targets"),
        (a_balancer("listeners: [{port: 80, default: {to: web}}]"), "forward"),
        (a_service("deploy: {minimum_healthy_percent: 50%}"), "min_healthy"),
        (a_service("deploy: {max_surge: 50%}"), "max_healthy"),
        (a_service("deploy: {keep_release: 5}"), "keep_releases"),
        (a_service() + "network: {zone: 2}", "zones"),
        (a_service("secret: [A]"), "secrets"),
        *((a_service() + f"{wrong}: {{a: {{engine: redis}}}}", right) for wrong, right in [
            ("cache", "caches"), ("redis", "caches"), ("database", "databases"), ("db", "databases"), ("bucket", "buckets"),
        ]),
        *((a_service() + f"caches: {{c: {{engine: redis, {wrong}: x}}}}", right) for wrong, right in [
            ("maxmemory", "memory"), ("max_memory", "memory"), ("policy", "eviction"), ("persistence", "persist"),
        ]),
        *((a_service() + f"databases: {{d: {{engine: mysql, {wrong}: x}}}}", right) for wrong, right in [
            ("dbname", "name"), ("database", "name"), ("username", "user"), ("owner", "user"), ("versoin", "version"),
        ]),
        (a_service() + "databases: {d: {dsn: 'mysql://h/d', engine: mysql}}", "url"),
        (a_service() + "caches: {c: {type: redis}}", "engine"),
    ],
)  # fmt: skip
def test_a_key_that_is_nearly_right(text: str, meant: str) -> None:
    unknown = [problem for problem in problems_of(text) if "is not a key" in problem]
    assert len(unknown) == 1
    assert unknown[0].endswith(f"is not a key that fairlead knows here; did you mean `{meant}`?")


@pytest.mark.parametrize("key", sorted(SUPPORTED))
def test_every_key_that_is_built_is_found_with_a_letter_too_many(key: str) -> None:
    above, _, name = key.rpartition(".")
    part = part_at(File, tuple(above.split(".")) if above else ())
    assert part is not None
    assert meant_key(f"{name}x", part) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (a_service() + "alarms: [{when: healthy_target, below: 1, command: x}]", "did you mean healthy_targets?"),
        (a_service() + "alarms: [{when: unhealthy-targets, below: 1, command: x}]", "did you mean unhealthy_targets?"),
        (a_service() + "alarms: [{when: CPU, below: 1, command: x}]", "did you mean cpu?"),
        (a_service("scaling: {max: 2, policies: [{target: {metric: latency_95, value: 1s}}]}"), "did you mean latency_p95?"),
        (a_service() + "jobs: {j: {service: web, command: x, cron: '* * * * *', timezone: utc}}", "did you mean UTC?"),
        (a_service() + "jobs: {j: {service: web, command: x, cron: '* * * * *', timezone: Europe/London1}}",
            "did you mean Europe/London?"),
        (a_service() + "jobs: {j: {service: web, command: x, cron: '* * * * *', timezone: Paris}}", "did you mean Europe/Paris?"),
        (a_service() + "jobs: {j: {service: web, command: x, cron: '@weekly'}}", 'write "0 0 * * 0"'),
        (a_service() + "jobs: {j: {service: webb, command: x, cron: '* * * * *'}}", "did you mean web?"),
        (a_service("after: [wbe]"), "did you mean web?"),
        (a_balancer("listeners: [{port: 80, default: {forward: wbe}}]"), "did you mean web?"),
        (a_balancer(RULE.replace("forward: web}]", "forward: webb}]") % "when: {path: /}"), "did you mean web?"),
        (a_service("port: nonee", program="command: x"), "did you mean none?"),
        (a_service() + "network: {nat: per-zone}", "did you mean per_zone?"),
    ],
)  # fmt: skip
def test_a_value_that_is_nearly_right(text: str, said: str) -> None:
    assert any(problem.endswith(f"; {said}") for problem in problems_of(text)), problems_of(text)


def test_a_value_that_came_from_a_variable_is_not_repeated_in_a_guess() -> None:
    text = a_service() + 'alarms: [{when: "${env.A}", below: 1, command: x}]'
    (problem,) = problems_of(text, env={"A": "healthy_target"})
    assert problem.endswith('or custom:NAME, not what "${env.A}" gives')


def test_every_alias_stands_for_a_key_that_exists() -> None:
    names = {key.rpartition(".")[2] for key in every_key(File)}
    assert set(ALIASES) <= names
