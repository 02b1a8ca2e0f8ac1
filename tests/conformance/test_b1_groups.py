"""B1: what a target group is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.facts import fact
from tests.conformance.files import with_service
from tests.conformance.rehearsal import Rehearsal, Up, refusal_of, stack_of

pytestmark = pytest.mark.live

NO_KEY = "is not a key that fairlead knows here"

FILE = """\
name: groups
services:
  web: {targets: ["${env.one}", "${env.two}"]}
  same: {targets: ["${env.one}"]}
load_balancer:
  listeners:
    - {port: "${env.PORT}", rules: [{when: {path: /same}, forward: same}], default: {forward: web}}
"""


@fact("B1", "Targets may have different ports", "real")
def test_b1_targets_have_ports_of_their_own(up: Up) -> None:
    assert up.servers["one"].address != up.servers["two"].address
    assert {up.ask().text for _ in range(4)} == {"one", "two"}


@fact("B1", "The same target may be in several groups", "real")
def test_b1_a_target_may_be_in_several_groups(up: Up) -> None:
    assert {up.ask("/same").text for _ in range(4)} == {"one"}


@fact("B1", "Draining a target in one group leaves it in the other", "real")
def test_b1_groups_are_independent(bring_up: Callable[..., Up]) -> None:
    up = bring_up(FILE.replace("name: groups", "name: independent"))
    up.drain(up.target("web", "one"))
    assert {up.ask().text for _ in range(4)} == {"two"}
    assert {up.ask("/same").text for _ in range(4)} == {"one"}


@fact("B1", "Targets may have IPv6 addresses", "real")
def test_b1_ipv6_targets(bring_up: Callable[..., Up], rehearsal: Rehearsal) -> None:
    server = rehearsal.server("six", "::1")
    text = """\
name: six-targets
services: {web: {targets: ["${env.six}"]}}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
"""
    try:
        assert bring_up(text, env={"six": server.address}).ask().text == "six"
    finally:
        rehearsal.run(server.kill())


@fact("B1", "IPv4 and IPv6 are not mixed in a group", "approximated", "they may be")
def test_b1_both_families() -> None:
    stack_of(
        with_service("instances: 1")
        .replace('["127.0.0.1:9000"]', '["127.0.0.1:9", "[::1]:9"]')
        .replace("    instances: 1\n", "")
    )


@fact(
    "B1",
    "A name has at most 32 characters, alphanumerics and -",
    "approximated",
    "small letters only, the first a letter",
)
def test_b1_names_of_groups() -> None:
    stack_of(with_service("environment: {}").replace("  web:", f"  w{'x' * 31}:").replace("    environment: {}\n", ""))
    assert "32" in refusal_of(with_service("").replace("  web:", f"  w{'x' * 32}:"))
    assert refusal_of(with_service("").replace("  web:", "  we_b:"))


@fact(
    "B1",
    "Names of hosts are not targets: a target is an instance or an address",
    "real",
    message="must be an IP address with its port",
)
def test_b1_names_are_no_targets(message: str) -> None:
    assert message in refusal_of(with_service("").replace("127.0.0.1:9000", "example.com:80"))


@fact("B1", "Target type lambda", "refused", message=NO_KEY)
def test_b1_lambda(message: str) -> None:
    assert message in refusal_of(with_service("lambda: arn"))


@fact(
    "B1",
    "Target group protocol HTTPS: TLS to targets, whose certificates are not checked",
    "refused",
    message='must be HTTP1, HTTP2 or GRPC, not "HTTPS"',
)
def test_b1_tls_to_targets(message: str) -> None:
    assert message in refusal_of(with_service("target_group: {protocol: HTTPS}"))
