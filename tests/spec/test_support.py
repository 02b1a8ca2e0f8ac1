"""Stage three: what this version refuses, and what it takes because it changes nothing."""

from __future__ import annotations

import pytest

from fairlead import __version__
from fairlead.spec.schema import File
from fairlead.spec.schema.base import keys_of, part_within
from fairlead.spec.support import NEXT_STEPS, SUPPORTED
from tests.spec.builders import a_balancer, a_service, error_of, problems_of


def every_key(part: type, prefix: str = "") -> set[str]:
    keys = set()
    for key, field in keys_of(part).items():
        keys.add(f"{prefix}{key}")
        below, steps = part_within(field.annotation)
        if below:
            keys |= every_key(below, f"{prefix}{key}." + "ID." * steps)
    return keys


def test_the_tables_name_keys_that_exist_and_no_key_twice() -> None:
    assert every_key(File) >= SUPPORTED | set(NEXT_STEPS)
    assert not SUPPORTED & set(NEXT_STEPS)


@pytest.mark.parametrize(
    "lines",
    [
        "target_group: {protocol: HTTP1, algorithm: round_robin, anomaly_mitigation: false, slow_start: 0s}",
        "target_group: {unsafe_methods: fresh_connection, connect_timeout: 100ms, stickiness: none}",
        "deploy: {strategy: rolling, min_healthy: 100%, max_healthy: 200%, bake: 5s, keep_releases: 5}",
        "deploy: {rollback_on: {failed_instances: 3}, bake: 5000ms}",
        "deploy: {rollback_on: {}}",
        "health_check: {enabled: true, protocol: HTTP, port: traffic}",
        "port: 8000",
        "build: []\nsecrets: []\nafter: []\ncustom_metrics: {}",
    ],
)
def test_a_refused_key_that_says_its_default_is_accepted(lines: str) -> None:
    assert problems_of(a_service(lines)) == []


def test_the_defaults_of_the_balancer_and_of_the_file_are_accepted() -> None:
    text = a_balancer("""\
idle_timeout: 60s
client_keep_alive: 60m
forwarded_for: append
desync_mitigation: defensive
drop_invalid_headers: false
preserve_host: true
access_log: true
listeners:
  - {port: 80, protocol: HTTP, rules: [], default: {forward: {web: 7}}}""")
    assert problems_of(text + "engine: local\njobs: {}\ncaches: {}\ndatabases: {}\nbuckets: {}\nalarms: []\n") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            a_service("scaling: {min: 1, max: 2}"),
            "5:5: services.web.scaling: `scaling` is not supported by this version; write `instances: N` for a fixed size",
        ),
        (
            a_service() + "engine: swarm",
            "5:1: engine: `engine` is not supported by this version; remove it, or write `engine: l",
        ),
        (
            a_service("target_group: {algorithm: weighted_random}"),
            "5:20: services.web.target_group.algorithm: `algorithm` is not supported by this version; "
            "remove it, which means round_robin",
        ),
        (
            a_balancer("drop_invalid_headers: true"),
            "6:3: load_balancer.drop_invalid_headers: `drop_invalid_headers` is not supported by this version; "
            "remove it, which means false",
        ),
        (
            a_service("deploy: {bake: 10s}"),
            "5:14: services.web.deploy.bake: `bake` is not supported by this version; remove it, which means 5s",
        ),
        (
            a_service("deploy: {min_healthy: 50%}"),
            "5:14: services.web.deploy.min_healthy: `min_healthy` is not supported by this version; "
            "remove it, which means 100%",
        ),
        (
            a_service("deploy: {rollback_on: {latency_p95: 1s, failed_instances: 3}}"),
            "5:28: services.web.deploy.rollback_on.latency_p95: `latency_p95` is not supported by this version; remove it",
        ),
        (
            a_service("health_check: {port: 81}"),
            "5:20: services.web.health_check.port: `port` is not supported by this version; remove it, which means traffic",
        ),
        (
            a_service(program="command: none"),
            "4:14: services.web.command: `command: none` is not supported by this version; write the program to run",
        ),
        (
            a_service(program="targets: ['127.0.0.1:9000']"),
            "4:5: services.web.targets: `targets` is not supported by this version; "
            "this version routes only to instances that it runs: write `app` or `command`",
        ),
        (
            a_balancer("idle_timeout: 61s"),
            "6:3: load_balancer.idle_timeout: `idle_timeout` is not supported by this version; remove it, which means 60s",
        ),
        (
            a_balancer("listeners: [{port: 80, default: {redirect: {host: a, status: 301}}}]"),
            "6:36: load_balancer.listeners.0.default.redirect: `redirect` is not supported by this version; "
            "write `forward: SERVICE`",
        ),
        (
            a_service() + "network: {}",
            "5:1: network: `network` is not supported by this version; remove it: it belongs to",
        ),
        (a_service() + "aws: {}", "5:1: aws: `aws` is not supported by this version; remove it: this version runs"),
        (
            a_service("environment:\n  K: ${secrets.KEY}"),
            "6:10: services.web.environment.K: ${secrets.KEY} is not supported by this version; "
            "use ${env.NAME}, from the environment or .env",
        ),
    ],
)
def test_what_is_not_built_is_refused_with_the_next_best_thing(text: str, said: str) -> None:
    (problem,) = problems_of(text)
    assert problem.startswith(f"fairlead.yaml:{said}")


def test_weights_need_one_service() -> None:
    text = a_service() + "  api: {command: x}\n"
    text += "load_balancer:\n  listeners:\n    - {port: 80, default: {forward: {web: 90, api: 10}}}\n"
    assert problems_of(text) == [
        "fairlead.yaml:8:37: load_balancer.listeners.0.default.forward: weights for more than one service are "
        "not supported by this version; forward to one service"
    ]


def test_a_service_that_no_listener_names_is_refused() -> None:
    text = a_service() + "  api: {command: x}\n  work: {command: x, port: none}\n"
    text += "load_balancer:\n  listeners:\n    - {port: 80, default: {forward: web}}\n"
    assert [problem for problem in problems_of(text) if "reach" in problem] == [
        "fairlead.yaml:5:3: services.api: no listener forwards to this service, so no request could reach it; "
        "add a listener with `default: {forward: api}`, or remove the service"
    ]


def test_the_message_tells_a_wrong_file_from_one_that_this_version_cannot_do() -> None:
    assert error_of("a: *").what == "fairlead.yaml is not YAML that fairlead can read"
    assert error_of("a: b").what == "fairlead.yaml has 3 problems"
    assert error_of(a_service("threads: 0")).what == "fairlead.yaml has a problem"
    unsupported = error_of(a_service("scaling: {max: 2}"))
    assert unsupported.what == f"fairlead.yaml is valid, but fairlead {__version__} cannot do all that it says"
    assert error_of(a_service("scaling: {max: 2}\nthreads: 0")).what == "fairlead.yaml has 2 problems"


def test_a_refusal_says_nothing_of_a_value_that_is_wrong_anyhow() -> None:
    (problem,) = problems_of(a_service("deploy: {strategy: roling}"))
    assert problem.endswith('must be rolling, blue_green or canary, not "roling"; did you mean rolling?')
