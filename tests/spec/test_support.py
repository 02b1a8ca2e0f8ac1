"""Stage three: what this version refuses, and what it takes because it changes nothing."""

from __future__ import annotations

import pytest

from fairlead import __version__
from fairlead.spec.schema import File
from fairlead.spec.support import NEXT_STEPS, SUPPORTED, SUPPORTED_VALUES, UNENFORCED
from tests.spec.builders import a_balancer, a_service, error_of, every_key, problems_of, stack_of


def test_the_tables_name_keys_that_exist_and_no_key_twice() -> None:
    assert every_key(File) >= SUPPORTED | set(NEXT_STEPS) | set(SUPPORTED_VALUES) | UNENFORCED
    assert not SUPPORTED & (set(NEXT_STEPS) | set(SUPPORTED_VALUES) | UNENFORCED)
    assert not UNENFORCED & set(NEXT_STEPS)


@pytest.mark.parametrize(
    "lines",
    [
        "target_group: {protocol: HTTP1, algorithm: round_robin, anomaly_mitigation: false, slow_start: 0s}",
        "target_group: {unsafe_methods: fresh_connection, connect_timeout: 100ms, stickiness: none}",
        "target_group: {stickiness: none}",
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
            a_service() + "engine: swarm",
            "5:1: engine: `engine` is not supported by this version; remove it, or write `engine: l",
        ),
        (
            a_service("deploy: {strategy: blue_green}"),
            "5:14: services.web.deploy.strategy: `strategy` is not supported by this version; "
            "remove it, which means rolling",
        ),
        (
            a_balancer("listeners: [{port: 443, protocol: HTTPS, certificates: acme, default: {forward: web}}]"),
            "6:58: load_balancer.listeners.0.certificates: `certificates: acme` is not supported by this version; "
            "get them with certbot or another ACME client, and name its files, `[{file: fullchain.pem, key: "
            "privkey.pem}]`: they are taken over when they change",
        ),
        (
            a_service("deploy: {bake: 10s}"),
            "5:14: services.web.deploy.bake: `bake` is not supported by this version; remove it, which means 5s",
        ),
        (
            a_service("deploy: {rollback_on: {failed_instances: 4}}"),
            "5:28: services.web.deploy.rollback_on.failed_instances: `failed_instances` is not supported by this version; "
            "remove it, which means 3",
        ),
        (
            a_service("port: 3000"),
            "5:5: services.web.port: `port` is not supported by this version; "
            "remove it: engine local gives each instance a port of its own, in $PORT and ${instance.port}",
        ),
        (
            a_service() + "alarms: [{when: cpu, above: 60%, command: x}]",
            '5:17: alarms.0.when: alarms on "cpu" are not supported by this version; write unhealthy_targets or healthy_targets',
        ),
        (
            a_service() + "alarms: [{when: 'custom:q', above: 6, command: x}]",
            '5:17: alarms.0.when: alarms on "custom:q" are not supported by this version; write unhealthy_targets or',
        ),
        (
            a_service("deploy: {rollback_on: {latency_p95: 1s, failed_instances: 3}}"),
            "5:28: services.web.deploy.rollback_on.latency_p95: `latency_p95` is not supported by this version; remove it",
        ),
        (
            a_service(program="command: none"),
            "4:14: services.web.command: `command: none` is not supported by this version; write the program to run",
        ),
        (a_service() + "aws: {}", "5:1: aws: `aws` is not supported by this version; remove it: this version runs"),
    ],
)
def test_what_is_not_built_is_refused_with_the_next_best_thing(text: str, said: str) -> None:
    (problem,) = problems_of(text)
    assert problem.startswith(f"fairlead.yaml:{said}")


@pytest.mark.parametrize(
    ("listener", "unreached"),
    [
        ("{port: 80, default: {forward: web}}", ["services.api"]),
        ("{port: 80, default: {forward: web}, rules: [{when: {path: /a}, forward: api}]}", []),
        ("{port: 80, rules: [{when: {host: a.b}, forward: api}]}", ["services.web"]),
        ("{port: 80, rules: [{when: {host: a.b}, forward: api}, {when: {host: c.d}, forward: {web: 1}}]}", []),
        (
            "{port: 80, default: {forward: web}, rules: [{when: {path: /a}, redirect: {host: b, status: 301}}]}",
            ["services.api"],
        ),
        ("{port: 80, default: {respond: {status: 404}}, rules: [{when: {path: /a}, forward: api}]}", ["services.web"]),
        ("{port: 80, default: {forward: {web: 100, api: 0}}}", []),
        ("{port: 80, default: {forward: {web: 9, api: 1}, stickiness: 1h}}", []),
        # Something else is wrong, or not clear: no guesses.
        ("{port: 80, default: {forward: web}, rules: [{when: {path: /a}}]}", []),
        ("{port: 80, default: {forward: nobody}}", []),
    ],
)
def test_a_service_that_no_listener_and_no_rule_names_is_refused(listener: str, unreached: list[str]) -> None:
    text = a_service() + "  api: {command: x}\n  work: {command: x, port: none}\n"
    text += f"load_balancer:\n  listeners:\n    - {listener}\n"
    problems = [problem for problem in problems_of(text) if "no request could reach it" in problem]
    assert [problem.split(": ")[1] for problem in problems] == unreached
    if unreached:
        name = unreached[0].removeprefix("services.")
        advice = f"add a rule or a listener that says `forward: {name}`, write `port: none` if it serves no requests, or remove it"
        assert problems[0].endswith(f"could reach it; {advice}")


def test_services_that_are_all_behind_redirects_cannot_be_reached_either() -> None:
    text = a_balancer("listeners: [{port: 80, default: {redirect: {host: b.c, status: 301}}}]")
    (problem,) = problems_of(text)
    assert "services.web: no listener forwards to this service, so no request could reach it" in problem


def test_targets_that_no_listener_names_are_told_so_and_not_that_they_might_be_a_worker() -> None:
    text = a_service() + "  legacy: {targets: ['127.0.0.1:9000']}\n"
    text += "load_balancer: {listeners: [{port: 80, default: {forward: web}}]}\n"
    assert problems_of(text) == [
        "fairlead.yaml:5:3: services.legacy: no listener forwards to this service, so no request could reach it; "
        "add a rule or a listener that says `forward: legacy`, or remove it"
    ]


def test_what_cannot_be_enforced_is_taken_and_named() -> None:
    text = a_service("resources: {cpu: 0.5, memory: 256MB}") + "  work: {command: x, port: none, resources: {cpu: 1}}\n"
    text += (
        "network: {nat: single, zones: 2, placement: private, security_groups: {web: [{port: 22, from: bastion}]}}\n"
    )
    assert stack_of(text).unenforced == (
        "services.web.resources", "services.work.resources", "network.nat", "network.placement", "network.security_groups",
    )  # fmt: skip


def test_what_the_file_does_not_say_is_not_named() -> None:
    assert stack_of(a_service("instances: 2")).unenforced == ()
    assert (
        stack_of(a_service("resources: {}") + "network: {zones: 2, security_groups: {}, network_acls: {}}").unenforced
        == ()
    )
    assert stack_of(a_service() + "network: {}").unenforced == ()


def test_what_is_not_enforced_is_judged_all_the_same() -> None:
    text = a_service("resources: {cpu: many}") + "network: {nat: singel, cidr: 10.0.0.0/8}"
    assert [problem.split(": ", 1)[1] for problem in problems_of(text)] == [
        'services.web.resources.cpu: must be a number, not "many"',
        'network.nat: must be per_zone, single or none, not "singel"; did you mean single?',
        "network.cidr: must be an IPv4 network from /16 to /28, as in a VPC",
    ]


def test_the_message_tells_a_wrong_file_from_one_that_this_version_cannot_do() -> None:
    assert error_of("a: *").what == "fairlead.yaml is not YAML that fairlead can read"
    assert error_of("a: b").what == "fairlead.yaml has 3 problems"
    assert error_of(a_service("threads: 0")).what == "fairlead.yaml has a problem"
    unsupported = error_of(a_service("port: 3000"))
    assert unsupported.what == f"fairlead.yaml is valid, but fairlead {__version__} cannot do all that it says"
    assert error_of(a_service("port: 3000\nthreads: 0")).what == "fairlead.yaml has 2 problems"


def test_a_refusal_says_nothing_of_a_value_that_is_wrong_anyhow() -> None:
    (problem,) = problems_of(a_service("deploy: {strategy: roling}"))
    assert problem.endswith('must be rolling, blue_green or canary, not "roling"; did you mean rolling?')
