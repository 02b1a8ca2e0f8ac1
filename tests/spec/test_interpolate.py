"""`${...}` between parse and validate."""

from __future__ import annotations

import pytest

from tests.spec.builders import a_balancer, a_service, error_of, problems_of, stack_of, web_of


def test_a_variable_takes_part_before_types_are_judged() -> None:
    text = a_service("instances: ${env.N}\npython: '${env.PY:-3.12}'")
    assert web_of(text, {"N": "3"}).desired == 3
    assert web_of(text, {"N": "3"}).python == "3.12"


def test_one_variable_in_quotes_is_what_its_value_is_since_braces_want_the_quotes() -> None:
    assert web_of(a_service('instances: "${env.N}"'), {"N": "3"}).desired == 3
    listeners = 'load_balancer:\n  listeners: [{port: "${env.PORT:-9090}", default: {forward: web}}]\n'
    assert stack_of(a_service("instances: 1") + listeners).listeners[0].port == 9090
    assert web_of(a_service('environment: {A: "${env.N}"}'), {"N": "3"}).environment == {"A": "3"}


def test_a_variable_among_other_quoted_text_stays_text() -> None:
    assert problems_of(a_service('instances: "1${env.N}"'), {"N": "3"}) == [
        'fairlead.yaml:5:16: services.web.instances: must be a whole number, not what "1${env.N}" gives; '
        "remove the quotes"
    ]


def test_the_environment_wins_over_dotenv_which_wins_over_the_default() -> None:
    text = a_service('environment: {A: "${env.A:-default}"}')
    assert web_of(text, {"A": "shell"}, "A=file").environment == {"A": "shell"}
    assert web_of(text, {}, "A=file").environment == {"A": "file"}
    assert web_of(text).environment == {"A": "default"}


def test_an_empty_variable_takes_the_default_as_in_a_shell_and_else_is_empty() -> None:
    assert web_of(a_service("instances: ${env.N:-2}"), {"N": ""}).desired == 2
    assert web_of(a_service("environment:\n  A: ${env.N}"), {"N": ""}).environment == {"A": ""}
    assert web_of(a_service("environment:\n  A: ${env.N:-}")).environment == {"A": ""}


@pytest.mark.parametrize("value", ["~", "null", "true", "1.10", "${env.HOME}", "a: b # c", "'"])
def test_a_value_is_taken_as_it_is_and_never_replaced_again(value: str) -> None:
    assert web_of(a_service("environment:\n  A: <${env.V}>\n  B: ${env.V}"), {"V": value}).environment == {
        "A": f"<{value}>",
        "B": value,
    }


def test_a_missing_variable_is_named_with_what_to_do_and_causes_no_second_problem() -> None:
    (problem,) = problems_of(a_service("instances: ${env.N}"))
    assert problem == (
        "fairlead.yaml:5:16: services.web.instances: the variable N is not set; "
        "set it, add it to .env beside the file, or give it a default: ${env.N:-...}"
    )
    (problem,) = problems_of(a_service(program='command: ["${env.PROGRAM}", x]'))
    assert problem.startswith("fairlead.yaml:4:15: services.web.command.0: the variable PROGRAM is not set")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("${HOME}", "${HOME} is not known; for a variable of the environment write ${env.HOME}"),
        ("${A:-b}", "${A:-b} is not known; for a variable of the environment write ${env.A:-b}"),
        ("${PORT}", "${PORT} is not known; write ${instance.port}"),
        ("${socket}", "${socket} is not known; write ${instance.socket}"),
        ("${secret.KEY}", "${secret.KEY} is not known; did you mean `secrets`? Names hold letters, digits and _ or -"),
        ("${env.A-B}", "${env.A-B} is not known; did you mean `env`? Names hold letters, digits and _ or -"),
        (
            "${instance.ip}",
            "${instance.ip} is not known; "
            "there are ${instance.port}, ${instance.socket}, ${instance.id} and ${instance.zone}",
        ),
        (
            "${.}",
            "${.} is not known; ${...} begins with env, instance, secrets, caches, databases or buckets",
        ),
        ("${env.A", "${env.A is not closed; close it with }; what stands inside holds no braces"),
        ("${env.A:-${env.B}}", "${env.A:-$ is not closed; close it with }; what stands inside holds no braces"),
        (
            "${caches.c.ip}",
            "${caches.c.ip} asks for `ip`; there are url, host, port, user, password and name",
        ),
        (
            "${caches.c.region}",
            "${caches.c.region} asks for `region`, which a cache does not have; "
            "there are url, host, port, user, password and name",
        ),
        (
            "${databases.d.endpoint}",
            "${databases.d.endpoint} asks for `endpoint`, which a database does not have; "
            "there are url, host, port, user, password and name",
        ),
        (
            "${buckets.b.arn}",
            "${buckets.b.arn} asks for `arn`; there are url, host, port, user, password, name, endpoint and region",
        ),
        ("${caches.c.url}", "${caches.c.url}: there is no caches.c; add it to `caches`"),
        (
            "${secrets.my-key}",
            "${secrets.my-key} is not known; did you mean `secrets`? Names hold letters, digits and _ or -",
        ),
    ],
)
def test_what_else_stands_in_braces_is_a_problem(value: str, said: str) -> None:
    problems = problems_of(a_service(f"environment:\n  A: '{value}'"), {"B": "b"})
    assert problems[0] == f"fairlead.yaml:6:10: services.web.environment.A: {said}"


def test_dollars_without_braces_and_braces_without_dollars_are_nothing_special() -> None:
    assert web_of(a_service("environment:\n  A: $X $$ {y}")).environment == {"A": "$X $$ {y}"}


def test_what_only_an_instance_knows_is_kept_for_its_launch() -> None:
    service = web_of(
        a_service("environment:\n  ME: ${instance.id}/${instance.zone}", program="command: x --port ${instance.port}")
    )
    assert service.environment == {"ME": "${instance.id}/${instance.zone}"}
    assert service.program.argv == ("x", "--port", "${instance.port}")  # type: ignore[union-attr]


def test_an_instance_can_be_named_only_in_command_and_environment() -> None:
    text = (
        a_service("health_check:\n  path: /${instance.id}\nsource: ${instance.zone}") + "alarms: ['${instance.port}']\n"
    )
    assert [line for line in problems_of(text) if "can stand only" in line] == [
        f"fairlead.yaml:{place}: ${{instance.{name}}} can stand only in a service's `command` and `environment`; "
        "every instance has its own; here one value must hold for all"
        for place, name in (
            ("6:13: services.web.health_check.path", "id"),
            ("7:13: services.web.source", "zone"),
            ("8:10: alarms.0", "port"),
        )
    ]


@pytest.mark.parametrize(
    ("value", "variable"),
    [
        ("${env.A}", "${instance.port}"),
        ("$${env.A}", "{instance.id}"),
        ("${env.A}id}", "${instance."),
        ("${env.A}", "${secrets.OTHER}"),
        ("$${env.A}", "{secrets.OTHER}"),
        ("${env.A}", "${databases.store.url}"),
        ("${env.A}KEY}", "${secrets."),
        # One in exchange for another: the same number of them.
        ("${env.A}${secrets.KEY}", "${secrets.OTHER}${"),
        # The one that the file names would not be replaced any more.
        ("${env.A}${secrets.KEY}", "${"),
    ],
)
def test_a_variable_cannot_bring_in_what_a_launch_would_replace(value: str, variable: str) -> None:
    (problem,) = problems_of(a_service(f"environment:\n  A: '{value}'"), {"A": variable})
    assert "a variable's value makes up a ${...} of its own, and values are never replaced again" in problem
    assert "OTHER" not in problem


@pytest.mark.parametrize("variable", ["${secrets.OTHER}", "${instance.id}", "${caches.c.host}"])
def test_nor_can_it_in_a_command_or_in_an_address_that_the_daemon_fills_in(variable: str) -> None:
    metric = "custom_metrics: {q: {url: 'http://a.test/${env.A}', field: x}}"
    rest = "alarms: [{when: unhealthy_targets, above: 0, webhook: 'http://a.test/${env.A}'}]\n"
    rest += "caches: {c: {url: 'redis://${env.A}'}}\n"
    problems = problems_of(a_service(metric, program="command: 'x ${env.A}'") + rest, {"A": variable})
    assert [problem.split(": ")[1] for problem in problems if "makes up a ${...}" in problem] == [
        "services.web.command", "services.web.custom_metrics.q.url", "alarms.0.webhook", "caches.c.url",
    ]  # fmt: skip


def test_where_nothing_is_put_in_later_such_a_value_is_only_text() -> None:
    service = web_of(a_service("before_traffic: 'x ${env.A}'"), {"A": "${secrets.OTHER}"})
    assert service.before_traffic == ("x", "${secrets.OTHER}")


def test_what_came_from_a_variable_is_never_shown() -> None:
    text = a_service("instances: ${env.V}\nhealth_check:\n  host: ${env.V}") + "engine: ${env.V}\n"
    text = text.replace("name: shop", "name: ${env.V}")
    said = error_of(text, {"V": "Local hunter2"})
    assert len(said.problems) == 4
    assert "hunter2" not in said.detail
    assert 'must be local, vpc or swarm, not what "${env.V}" gives' in said.detail


def test_a_port_may_come_from_the_environment() -> None:
    text = a_balancer("listeners:\n  - port: ${env.PORT:-8080}\n    default: {forward: web}")
    assert stack_of(text).listeners[0].port == 8080
    assert stack_of(text, {"PORT": "9090"}).listeners[0].port == 9090


def test_bytes_that_are_no_text_are_refused_wherever_they_are_put() -> None:
    """A variable of the environment may hold any bytes; Python shows them as lone surrogates."""
    text = a_service("source: ${env.V}\ntarget_group:\n  retry: ${env.V}")
    assert problems_of(text, {"V": "\udc80"}) == [
        "fairlead.yaml:5:13: services.web.source: must not hold control characters or line breaks",
        "fairlead.yaml:7:14: services.web.target_group.retry: "
        "input should be a valid string, unable to parse raw data as a unicode string",
    ]
