"""The configuration: golden files that HAProxy itself accepts."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from fairlead.core.model import (
    Action,
    Conditions,
    Forward,
    Listener,
    LoadBalancerAttributes,
    Opening,
    Redirect,
    Respond,
    Rule,
    forward_to,
)
from fairlead.core.traffic import Routing
from fairlead.haproxy.maps import FEWEST, files
from fairlead.haproxy.patterns import comparisons
from fairlead.haproxy.render import Place, maxconn, render, servers_in, static_part, threads_for
from fairlead.haproxy.servers import Member
from tests.haproxy.builders import a_check, a_group, a_routing, a_rule, a_target
from tests.haproxy.configurations import MAPS, PLACE, members, verdict


class Configurations(SingleFileSnapshotExtension):
    file_extension = "cfg"
    _write_mode = WriteMode.TEXT


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(Configurations)


ACTIONS: list[Action] = [
    forward_to("api"),
    Forward(weights=(("web", 1), ("api", 1), ("old", 0)), stickiness=3600.0),
    Forward(weights=(("web", 0),)),
    Redirect(status=301, protocol="HTTPS", port=443),
    Redirect(status=302, host="new.#{host}", path="/a%20/#{path}/#{port}", query=""),
    Redirect(status=302, query="from=#{protocol}://#{host}&#{query}"),
    Redirect(status=301, protocol="HTTPS", port=443),
    Respond(status=503, body='It\'s "$HOME" %[x]\n\tback soon\n'),
    Respond(status=204),
]

CASES: dict[str, tuple[list[Routing], list[Member], Place]] = {
    "one service without targets": ([a_routing()], [], PLACE),
    "targets in every mode": (
        [a_routing()],
        [
            *members(
                a_target(1, mode="in_service"),
                a_target(2, mode="initial", address="unix:/run/fl/i/shop.web-2/http.sock"),
                a_target(3, mode="draining", address="[::1]:20003"),
            ),
            Member(target=a_target(4, mode="in_service"), down=True),
        ],
        replace(PLACE, maps_folder=MAPS),
    ),
    "retry off": ([a_routing(groups=(a_group(retry="off"),))], members(a_target(1, mode="in_service")), PLACE),
    "two stacks with all kinds of addresses": (
        [
            a_routing(
                listeners=(
                    Listener(port=80, default=forward_to("web"), address="0.0.0.0"),
                    Listener(port=81, default=forward_to("api"), address="::1"),
                    Listener(port=82, default=forward_to("web"), address="::"),
                ),
                groups=(a_group(), a_group(name="api", deregistration_delay=300.0)),
            ),
            a_routing(8081, stack="blog"),
        ],
        members(a_target(1, group="shop.api", id="api-1"), a_target(1, group="blog.web", mode="in_service")),
        PLACE,
    ),
    "rules by path and by host": (
        [
            a_routing(
                listeners=(
                    Listener(
                        port=8080, default=forward_to("web"),
                        rules=(
                            a_rule("api", paths=("/api/*", "/v?/api", "/exact", "*.json", "*/deep/*", "/a/*/b*.c")),
                            a_rule("docs", hosts=("Docs.Example.com", "*.docs.test", "doc?.test", "docs.*")),
                            a_rule("api", paths=("*}", "?}", "/'$HOME\"%[env(HOME)]#\\{};*")),
                        ),
                    ),
                    Listener(port=8081, default=forward_to("web"), rules=(a_rule("docs", paths=("**",)),)),
                ),
                groups=(a_group(), a_group(name="api"), a_group(name="docs", retry="off")),
            )
        ],
        members(a_target(1, mode="in_service"), a_target(1, group="shop.api", id="api-1")),
        PLACE,
    ),
    "hosts only, others get 404": (
        [a_routing(listeners=(Listener(port=8080, default=None, rules=(a_rule("web", hosts=("a.test",)),)),))],
        [], PLACE,
    ),
    "three stacks on one port": (
        [
            a_routing(
                listeners=(
                    Listener(
                        port=8080, default=forward_to("web"),
                        rules=(a_rule("api", paths=("/api/*",)), a_rule("api", hosts=("api.shop.test",))),
                    ),
                ),
                groups=(a_group(), a_group(name="api")),
            ),
            a_routing(
                stack="blog", check_token="token-of-blog",
                listeners=(
                    Listener(
                        port=8080, default=None,
                        rules=(a_rule("web", hosts=("blog.test", "*.blog.test")), a_rule("web", hosts=("b*",))),
                    ),
                ),
            ),
            a_routing(
                stack="wiki", check_token="token-of-wiki",
                listeners=(
                    Listener(port=8080, default=None, rules=(a_rule("web", hosts=("new.blog.test", "*.wiki.test")),)),
                    Listener(port=8090, default=forward_to("web")),
                ),
            ),
        ],
        members(a_target(1, group="blog.web", mode="in_service")),
        PLACE,
    ),
    "two stacks without a default on one port": (
        [
            a_routing(
                stack=name, check_token=name,
                listeners=(Listener(port=8080, default=None, rules=(a_rule("web", hosts=(f"{name}.test",)),)),),
            )
            for name in ("a", "b")
        ],
        [], PLACE,
    ),
    "more patterns than a line of HAProxy takes": (
        [
            a_routing(
                listeners=(
                    Listener(
                        port=8080, default=forward_to("web"),
                        rules=(a_rule("web", paths=tuple(f"/{number}" for number in range(100))),),
                    ),
                )
            )
        ],
        [], PLACE,
    ),
    "as root, on a big machine": (
        [a_routing()], [],
        Place(runtime_socket="/r/a.sock", pidfile="/r/a.pid", state_file="/r/s", fd_limit=1 << 20, threads=4, user=(1, 1)),
    ),
    "every condition": (
        [
            a_routing(
                listeners=(
                    Listener(
                        port=8080, default=forward_to("web"),
                        rules=(
                            a_rule("api", methods=("POST", "PUT"), paths=("/a", "/b/*", "*.c"), hosts=("a.test", "*.b.test")),
                            a_rule("api", headers=(("X-A", ("*",)), ("User-Agent", ("*Mobile*", "b?d")), ("x#y", ("1",)))),
                            a_rule("api", queries=(("a*", ("1", "?\\*")), ("", ("any",)), ("k", ("*",)), ("*", ("*",)))),
                            a_rule("api", source_ips=("10.1.2.3/8", "::1", "fd00::/8")),
                            a_rule("api"),
                        ),
                    ),
                ),
                groups=(a_group(), a_group(name="api")),
            )
        ],
        [], PLACE,
    ),
    "every action": (
        [
            a_routing(
                listeners=(
                    Listener(
                        port=8080, default=Forward(weights=(("web", 9), ("api", 1), ("old", 0))),
                        rules=tuple(
                            Rule(when=Conditions(paths=(f"/{at}",)), then=action) for at, action in enumerate(ACTIONS)
                        ),
                    ),
                ),
                groups=(a_group(), a_group(name="api"), a_group(name="old")),
            )
        ],
        [], PLACE,
    ),
    "attributes other than the usual": (
        [
            a_routing(
                attributes=LoadBalancerAttributes(
                    idle_timeout=5.0, client_keep_alive=60.0, forwarded_for="remove", desync_mitigation="strictest",
                    drop_invalid_headers=True, preserve_host=False,
                )
            ),
            a_routing(
                80, stack="blog",
                attributes=LoadBalancerAttributes(
                    forwarded_for="preserve", desync_mitigation="monitor", preserve_host=False, idle_timeout=4000.0
                ),
            ),
        ],
        [], PLACE,
    ),
    "stacks with different attributes on one port": (
        [
            a_routing(
                stack=name, check_token=name, attributes=attributes,
                listeners=(Listener(port=8080, default=None, rules=(a_rule("web", hosts=(f"{name}.test",)),)),),
            )
            for name, attributes in (
                ("a", LoadBalancerAttributes(forwarded_for="preserve", idle_timeout=9.0)),
                ("b", LoadBalancerAttributes(desync_mitigation="monitor", preserve_host=False)),
                ("c", LoadBalancerAttributes(desync_mitigation="strictest", client_keep_alive=7200.0)),
                ("d", LoadBalancerAttributes(drop_invalid_headers=True)),
            )
        ],
        [], PLACE,
    ),
    "many simple rules, some others, and another stack": (
        [
            a_routing(
                listeners=(
                    Listener(
                        port=8080, default=forward_to("web"),
                        rules=(
                            *(a_rule("api", paths=(f"/api/{number}/*",)) for number in range(FEWEST)),
                            a_rule("web", hosts=("A.test", "b.test"), paths=("/", "/web/*")),
                            a_rule("api", paths=("*.json",)),
                            Rule(when=Conditions(hosts=("c.test",)), then=Respond(status=204)),
                        ),
                    ),
                ),
                groups=(a_group(), a_group(name="api")),
            ),
            a_routing(
                stack="blog", check_token="token-of-blog",
                listeners=(
                    Listener(
                        port=8080, default=None, rules=tuple(a_rule("web", hosts=(f"{at}.blog.test",)) for at in range(FEWEST))
                    ),
                ),
            ),
        ],
        [], replace(PLACE, maps_folder=MAPS),
    ),
    "HTTPS": (
        [
            a_routing(
                listeners=(
                    Listener(
                        port=8443, default=forward_to("web"), protocol="HTTPS", certificates="local",
                        rules=(Rule(when=Conditions(paths=("/old",)), then=Redirect(status=301, path="/new")),),
                    ),
                    Listener(port=8443, default=forward_to("web"), protocol="HTTPS", certificates="local", address="::1"),
                ),
                groups=(a_group(protocol="GRPC", health_check=a_check(matcher="12")),),
            ),
        ],
        [], PLACE,
    ),
    "one instance opened": (
        [
            a_routing(
                listeners=(
                    Listener(port=8080, default=forward_to("web")),
                    Listener(
                        port=8081, default=None, opening=Opening(service="web", instance="web-1", digest="0123456789abcdef" * 4)
                    ),
                )
            )
        ],
        members(a_target(1)), PLACE,
    ),
    "a check with all settings": (
        [
            a_routing(
                groups=(
                    a_group(
                        health_check=a_check(
                            path="/he'alth?a=%[env(HOME)]&b=\"$HOME\"#{}", host="shop.test:81", interval=0.1, timeout=0.05,
                            healthy_threshold=3, unhealthy_threshold=5, matcher="200,204-206",
                        )
                    ),
                )
            )
        ],
        members(a_target(1, address="unix:/tmp/a home's \"run\"/x\\y.sock", mode="in_service")),
        PLACE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_configuration_is_as_agreed_and_haproxy_accepts_it(
    case: str, golden: SnapshotAssertion, haproxy: str
) -> None:
    routings, known, place = CASES[case]
    text = render(routings, known, place)
    assert text == golden
    assert verdict(haproxy, text, ("127.0.0.1_8443", "..1_8443"), files(routings)) == ""


def test_the_order_of_what_is_given_does_not_matter() -> None:
    routings, known, place = CASES["two stacks with all kinds of addresses"]
    assert render(routings, known, place) == render(routings[::-1], known[::-1], place)


def test_targets_come_and_go_without_touching_the_static_part() -> None:
    empty = render([a_routing()], [], PLACE)
    full = render([a_routing()], members(*(a_target(number) for number in range(1, 9))), PLACE)
    assert static_part(empty) == static_part(full)
    assert empty != full


@pytest.mark.parametrize(
    "change",
    [{"interval": 2.0}, {"timeout": 0.5}, {"healthy_threshold": 9}, {"unhealthy_threshold": 9}, {"path": "/x"},
     {"host": "x"}, {"matcher": "204"}],
    ids=str,
)  # fmt: skip
def test_a_changed_check_needs_a_reload(change: dict[str, object]) -> None:
    before = render([a_routing()], [], PLACE)
    after = render([a_routing(groups=(a_group(health_check=a_check(**change)),))], [], PLACE)
    assert static_part(before) != static_part(after)


@pytest.mark.parametrize(
    ("limit", "listeners", "targets", "expected"),
    [(20000, 1, 0, 9249), (20000, 1, 4, 9249), (1024, 1, 4, 229), (1024, 1, 1000, 100), (1 << 20, 3, 0, 20_000)],
)
def test_connections_fit_into_the_limit_of_open_files(limit: int, listeners: int, targets: int, expected: int) -> None:
    assert maxconn(limit, listeners, targets) == expected


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (64, 4)])
def test_half_the_cores_balance(cores: int, threads: int) -> None:
    assert threads_for(cores) == threads


@given(pattern=st.text(alphabet="ab*?/.}", min_size=1, max_size=8), path=st.text(alphabet="ab/.}", max_size=8))
def test_a_pattern_matches_what_a_glob_does(pattern: str, path: str) -> None:
    expected = fnmatch.fnmatchcase(path, pattern)
    assert any(holds(one, path) for one in comparisons("path", [pattern])) is expected


def holds(comparison: str, path: str) -> bool:
    """What HAProxy would say (-m sub with a text that repeats, and so on, is what its manual says)."""
    if comparison == "":
        return True
    kind, _, quoted = comparison.removeprefix("path -m ").partition(" -- ")
    value = quoted[1:-1]
    match kind:
        case "str":
            return path == value
        case "beg":
            return path.startswith(value)
        case "end":
            return path.endswith(value)
        case "sub":
            return value in path
    # Python has atomic groups from 3.11 on.
    return re.search(value, path) is not None


def test_what_is_rendered_tells_its_servers() -> None:
    routings, known, place = CASES["two stacks with all kinds of addresses"]
    assert servers_in(render(routings, known, place)) == {member.key for member in known}
