"""A1: how much a load balancer may hold."""

from __future__ import annotations

from tests.conformance.facts import fact
from tests.conformance.files import with_listener, with_rule, with_rules
from tests.conformance.rehearsal import refusal_of, stack_of


def respond_to(path: str) -> str:
    return f"{{when: {{path: {path}}}, respond: {{status: 200}}}}"


@fact("A1", "At most 50 listeners, each HTTP or HTTPS on a port from 1 to 65535", "real")
def test_a1_at_most_50_listeners() -> None:
    def file(count: int, first: int = 8001) -> str:
        listeners = ", ".join(f"{{port: {first + n}, default: {{forward: web}}}}" for n in range(count))
        return f'name: many\nservices: {{web: {{targets: ["127.0.0.1:9"]}}}}\nload_balancer: {{listeners: [{listeners}]}}\n'

    assert len(stack_of(file(50)).listeners) == 50
    assert "50" in refusal_of(file(51))
    assert "65535" in refusal_of(file(1, first=65536))


@fact(
    "A1", "At most 100 rules, default rules not counted", "approximated", "100 in each listener; on AWS in all together"
)
def test_a1_at_most_100_rules() -> None:
    assert len(stack_of(with_rules([respond_to(f"/{n}") for n in range(100)])).listeners[0].rules) == 100
    assert "100" in refusal_of(with_rules([respond_to(f"/{n}") for n in range(101)]))


@fact("A1", "At most 5 target groups in an action", "real")
def test_a1_at_most_5_target_groups_in_an_action() -> None:
    names = [f"web{n}" for n in range(6)]
    services = ", ".join(f'{name}: {{targets: ["127.0.0.1:9"]}}' for name in names)

    def file(count: int) -> str:
        weights = ", ".join(f"{name}: 1" for name in names[:count])
        rest = ", ".join(f"{{port: {n + 8081}, default: {{forward: {name}}}}}" for n, name in enumerate(names))
        first = f"{{port: 8080, default: {{forward: {{{weights}}}}}}}"
        return f"name: groups\nservices: {{{services}}}\nload_balancer: {{listeners: [{first}, {rest}]}}\n"

    stack_of(file(5))
    assert "5" in refusal_of(file(6))


@fact("A1", "At most 5 values of conditions in a rule", "real")
def test_a1_at_most_5_values_in_a_rule() -> None:
    def rule(*paths: str, host: str = "") -> str:
        hosts = f", host: {host}" if host else ""
        return with_rule(f"{{when: {{path: [{', '.join(paths)}]{hosts}}}, respond: {{status: 200}}}}")

    stack_of(rule("/1", "/2", "/3", "/4", "/5"))
    assert "5" in refusal_of(rule("/1", "/2", "/3", "/4", "/5", "/6"))
    stack_of(rule("/1", "/2", "/3", "/4", host="a.test"))
    assert "5" in refusal_of(rule("/1", "/2", "/3", "/4", "/5", host="a.test"))


@fact("A1", "At most 5 wildcards in a rule", "real")
def test_a1_at_most_5_wildcards_in_a_rule() -> None:
    stack_of(with_rule('{when: {path: "/*/*/?/?/*"}, respond: {status: 200}}'))
    assert "5" in refusal_of(with_rule('{when: {path: "/*/*/?/?/*/*"}, respond: {status: 200}}'))
    assert "5" in refusal_of(with_rule('{when: {path: "/*/*/?", host: "*.?.*.test"}, respond: {status: 200}}'))


@fact("A1", "An HTTPS listener needs a certificate", "real", message="HTTPS needs `certificates`")
def test_a1_an_https_listener_needs_a_certificate(message: str) -> None:
    assert message in refusal_of(with_listener("protocol: HTTPS"))


@fact("A1", "A listener has one default rule", "approximated",
      "it may be left out where every rule names a host: other hosts then get 404, or what another stack on the same port says")  # fmt: skip
def test_a1_a_listener_has_one_default() -> None:
    file = with_rule("{when: {host: a.test}, forward: web}").replace("      default: {forward: web}\n", "")
    assert stack_of(file).listeners[0].default is None
    assert "is required" in refusal_of(file.replace("host: a.test", "path: /a"))
