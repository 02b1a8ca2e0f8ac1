"""A2: which rule of a listener is used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.client import websocket
from tests.conformance.facts import fact
from tests.conformance.rehearsal import Up, refusal_of

pytestmark = pytest.mark.live

FILE = """\
name: order
services:
  web: {targets: ["${env.web}", "${env.web_too}"]}
  api: {targets: ["${env.api}", "${env.api_too}"]}
load_balancer:
  listeners:
    - port: ${env.PORT}
      rules:
        - {when: {path: /both/first}, respond: {status: 200, body: first}}
        - {when: {path: /both/*}, respond: {status: 200, body: second}}
        - {when: {path: "/both/first*"}, respond: {status: 200, body: third}}
        - {when: {path: [/or/a, /or/b]}, respond: {status: 200, body: either}}
        - {when: {path: /and, method: POST, header: {X-One: "1"}}, respond: {status: 200, body: all}}
        - {when: {path: /pair, header: {X-One: "1", X-Two: "2"}}, respond: {status: 200, body: two headers}}
        - {when: {path: /pair, query: {one: "1", two: "2"}}, respond: {status: 200, body: two parameters}}
        - {when: {path: /api}, forward: api}
      default: {forward: web}
"""


@fact(
    "A2",
    "Rules are tried in their order; the first whose conditions all hold is used, later ones are not looked at",
    "real",
)
def test_a2_the_first_rule_that_matches_is_used(up: Up) -> None:
    assert up.ask("/both/first").text == "first"
    assert up.ask("/both/other").text == "second"
    assert up.ask("/both/first-and-more").text == "second"


@fact("A2", "A request that no rule claims gets the default action", "real")
def test_a2_the_default_comes_last(up: Up) -> None:
    assert up.ask("/none/of/them").text in ("web", "web_too")


@fact("A2", "The values of one condition are alternatives", "real")
def test_a2_values_are_alternatives(up: Up) -> None:
    assert [up.ask(path).text for path in ("/or/a", "/or/b")] == ["either", "either"]
    assert up.ask("/or/c").text != "either"


@fact("A2", "Different conditions of a rule must all hold", "real")
def test_a2_conditions_must_all_hold(up: Up) -> None:
    one = [("X-One", "1")]
    assert up.ask("/and", one, method="POST").text == "all"
    assert up.ask("/and", one, method="GET").text != "all"
    assert up.ask("/and", method="POST").text != "all"
    assert up.ask("/other", one, method="POST").text != "all"


@fact("A2", "Several header or query conditions of one rule must all hold", "approximated",
      "each header and each parameter is a condition of its own, so the same one cannot be asked for twice in a rule")  # fmt: skip
def test_a2_several_headers_or_parameters_must_all_hold(up: Up) -> None:
    assert up.ask("/pair", [("X-One", "1"), ("X-Two", "2")]).text == "two headers"
    assert up.ask("/pair", [("X-One", "1")]).text.startswith("web")
    assert up.ask("/pair?two=2&one=1").text == "two parameters"
    assert up.ask("/pair?one=1").text.startswith("web")
    twice = FILE.replace('{X-One: "1", X-Two: "2"}', '{X-One: "1", X-One: "2"}')
    assert "X-One" in refusal_of(twice)


@fact("A2", "A rule has exactly one of forward, redirect and fixed response", "real")
def test_a2_a_rule_has_exactly_one_action() -> None:
    two = FILE.replace(
        "{when: {path: /api}, forward: api}", "{when: {path: /api}, forward: api, respond: {status: 200}}"
    )
    assert "stands beside `forward`, and only one of them can hold" in refusal_of(two)
    none = FILE.replace("{when: {path: /api}, forward: api}", "{when: {path: /api}}")
    assert "what happens to the request" in refusal_of(none)


@fact("A2", "Rules have priorities from 1 to 50000, unique in their listener", "approximated",
      "rules are a list and the place in it is the priority; to move a rule is to move its line")  # fmt: skip
def test_a2_the_place_in_the_list_is_the_priority(bring_up: Callable[..., Up]) -> None:
    rules = [
        "{when: {path: /x}, respond: {status: 200, body: one}}",
        "{when: {path: /x}, respond: {status: 200, body: two}}",
    ]
    text = """\
name: priorities
services: {worker: {command: sleep 1, port: none}}
load_balancer:
  listeners:
    - {port: "${env.PORT}", rules: [%s], default: {respond: {status: 404}}}
"""
    up = bring_up(text % ", ".join(rules))
    assert up.ask("/x").text == "one"
    up.configure(text % ", ".join(reversed(rules)))
    assert up.ask("/x").text == "two"


@fact("A2", "The target is picked in each target group by itself", "real")
def test_a2_each_target_group_has_its_own_turn(up: Up) -> None:
    answers = [up.ask(path).text for path in ("/", "/api", "/", "/api", "/", "/api", "/", "/api")]
    web, api = answers[::2], answers[1::2]
    assert web in (["web", "web_too"] * 2, ["web_too", "web"] * 2)
    assert api in (["api", "api_too"] * 2, ["api_too", "api"] * 2)


@fact("A2", "For a connection that became a WebSocket, rules are not looked at again", "real")
def test_a2_rules_are_not_looked_at_again_for_a_websocket(bring_up: Callable[..., Up]) -> None:
    text = """\
name: upgraded
services:
  web: {targets: ["${env.web}"]}
  other: {targets: ["${env.other}"]}
load_balancer:
  listeners:
    - port: ${env.PORT}
      rules: [{when: {path: /ws}, forward: web}]
      default: {forward: other}
"""
    up = bring_up(text)
    with up.client() as client:
        assert websocket(client, "/ws").status == 101
        up.configure(text.replace("forward: web}]", "respond: {status: 403}}, {when: {path: /web}, forward: web}]"))
        assert up.ask("/ws").status == 403
        assert client.send(b"still there").read(11) == b"still there"
        assert up.servers["web"].last.target == "/ws"
