"""The configuration: golden files that HAProxy itself accepts, and values that cannot break out of their directive."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck as Slow
from hypothesis import example, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from fairlead.core.model import Listener, Rule
from fairlead.core.traffic import Routing, Target
from fairlead.errors import BalancerError
from fairlead.haproxy.patterns import conditions
from fairlead.haproxy.render import Place, maxconn, render, servers_in, static_part, threads_for
from fairlead.haproxy.servers import Member
from tests.haproxy.builders import a_check, a_group, a_routing, a_target

PLACE = Place(
    runtime_socket="/run/fl/haproxy.7.sock",
    pidfile="/run/fl/haproxy.7.pid",
    state_file="/run/fl/state",
    fd_limit=20000,
    threads=1,
)


class Configurations(SingleFileSnapshotExtension):
    file_extension = "cfg"
    _write_mode = WriteMode.TEXT


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(Configurations)


def members(*targets: Target) -> list[Member]:
    return [Member(target=target) for target in targets]


def verdict(haproxy: str, text: str) -> str:
    """ "" when HAProxy accepts it, else what it says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.cfg")
        path.write_text(text)
        asked = subprocess.run([haproxy, "-c", "-f", path], capture_output=True, text=True, check=False)
    return "" if asked.returncode == 0 else asked.stderr


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
        PLACE,
    ),
    "retry off": ([a_routing(groups=(a_group(retry="off"),))], members(a_target(1, mode="in_service")), PLACE),
    "two stacks with all kinds of addresses": (
        [
            a_routing(
                listeners=(
                    Listener(port=80, default="web", address="0.0.0.0"),
                    Listener(port=81, default="api", address="::1"),
                    Listener(port=82, default="web", address="::"),
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
                        port=8080, default="web",
                        rules=(
                            Rule(forward="api", paths=("/api/*", "/v?/api", "/exact", "*.json", "*/deep/*", "/a/*/b*.c")),
                            Rule(forward="docs", hosts=("Docs.Example.com", "*.docs.test", "doc?.test", "docs.*")),
                            Rule(forward="api", paths=("*}", "?}", "/'$HOME\"%[env(HOME)]#\\{};*")),
                        ),
                    ),
                    Listener(port=8081, default="web", rules=(Rule(forward="docs", paths=("**",)),)),
                ),
                groups=(a_group(), a_group(name="api"), a_group(name="docs", retry="off")),
            )
        ],
        members(a_target(1, mode="in_service"), a_target(1, group="shop.api", id="api-1")),
        PLACE,
    ),
    "hosts only, others get 404": (
        [a_routing(listeners=(Listener(port=8080, default=None, rules=(Rule(forward="web", hosts=("a.test",)),)),))],
        [], PLACE,
    ),
    "three stacks on one port": (
        [
            a_routing(
                listeners=(
                    Listener(
                        port=8080, default="web",
                        rules=(Rule(forward="api", paths=("/api/*",)), Rule(forward="api", hosts=("api.shop.test",))),
                    ),
                ),
                groups=(a_group(), a_group(name="api")),
            ),
            a_routing(
                stack="blog", check_token="token-of-blog",
                listeners=(
                    Listener(
                        port=8080, default=None,
                        rules=(Rule(forward="web", hosts=("blog.test", "*.blog.test")), Rule(forward="web", hosts=("b*",))),
                    ),
                ),
            ),
            a_routing(
                stack="wiki", check_token="token-of-wiki",
                listeners=(
                    Listener(port=8080, default=None, rules=(Rule(forward="web", hosts=("new.blog.test", "*.wiki.test")),)),
                    Listener(port=8090, default="web"),
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
                listeners=(Listener(port=8080, default=None, rules=(Rule(forward="web", hosts=(f"{name}.test",)),)),),
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
                        port=8080, default="web",
                        rules=(Rule(forward="web", paths=tuple(f"/{number}" for number in range(100))),),
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
    assert verdict(haproxy, text) == ""


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


PRINTABLE = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)

HOSTILE = st.one_of(
    PRINTABLE.map("/".__add__),
    PRINTABLE.map("unix:/".__add__),
    st.text(min_size=1, max_size=40),
    st.text(alphabet="ab/.$%{}[]()'\"\\ \t\n\r\0#;,|&-_!\x7f\x85é", min_size=1, max_size=40),
    st.sampled_from(
        [
            "}",
            "-f",
            "--",
            "'",
            "\\",
            "/\nglobal",
            "/ x",
            "/%[env(HOME)]",
            "/${HOME}",
            "/'; daemon",
            "/\u2028",
            "/\ud800",
        ]
    ),
)

FIELDS = ("path", "host", "matcher", "token", "address", "service", "stack", "id", "listener")


def hostile_text(field: str, value: str) -> str:
    """The configuration in which `field` has this value."""
    check = a_check(**{field: value}) if field in ("path", "host", "matcher") else a_check()
    service = value if field == "service" else "web"
    stack = value if field == "stack" else "shop"
    routing = a_routing(
        stack=stack,
        groups=(a_group(name=service, health_check=check),),
        listeners=(Listener(port=8080, default=service, address=value if field == "listener" else "127.0.0.1"),),
        check_token=value if field == "token" else "token",
    )
    target = a_target(
        1,
        group=f"{stack}.{service}",
        id=value if field == "id" else "web-1",
        address=value if field == "address" else "127.0.0.1:20001",
        mode="in_service",
    )
    return render([routing], members(target), PLACE)


HARMLESS = {
    "path": "/", "host": "h", "matcher": "200", "token": "token", "address": "127.0.0.1:1", "service": "web",
    "stack": "shop", "id": "web-1", "listener": "127.0.0.1",
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[Slow.function_scoped_fixture])
@given(value=HOSTILE)
@example(value="/a'b\"c\\d$HOME${X}%[env(HOME)]#{};|&()")
@example(value="unix:/tmp/a'b\"c\\d #{};|&()%.sock")
def test_a_hostile_value_is_refused_or_stays_in_its_place(field: str, value: str, haproxy: str) -> None:
    harmless = hostile_text(field, HARMLESS[field]).splitlines()
    try:
        text = hostile_text(field, value)
    except BalancerError:
        return
    # Split where HAProxy splits, and only there.
    lines = text.split("\n")[:-1]
    assert [line.split(None, 1)[:1] for line in lines] == [line.split(None, 1)[:1] for line in harmless]
    changed = [one for one, other in zip(lines, harmless, strict=True) if one != other]
    words = {"path": "http-check send", "host": "http-check send", "matcher": "http-check expect",
             "token": "http-request set-var(txn.check)", "address": "server", "id": "server"}  # fmt: skip
    if field in words:
        assert all(line.strip().startswith(words[field]) for line in changed)
    assert verdict(haproxy, text) == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", "health"), ("path", "/a b"), ("path", "/a\nb"), ("path", "/ä"), ("path", "/" + "a" * 2000),
        ("host", ""), ("host", "a b"), ("host", "a\r\nX: y"), ("host", "%[env(HOME)]"),
        ("matcher", ""), ("matcher", "2xx"), ("matcher", "200,"), ("matcher", "299-200"), ("matcher", "200 -f"),
        ("token", ""), ("token", "}"), ("token", "a b"),
        ("address", "unix:relative"), ("address", "unix:/a,b"), ("address", "unix:/$HOME"), ("address", "localhost:80"),
        ("address", "127.0.0.1"), ("address", "127.0.0.1:0"), ("address", "127.0.0.1:70000"), ("address", "::1:80"),
        ("address", "[127.0.0.1]:80"), ("address", "unix:/a\nb"),
        ("service", "a.b"), ("service", "A"), ("service", "-a"), ("stack", ""), ("id", "BACKEND"), ("id", "a;b"),
        ("listener", "localhost"), ("listener", "fe80::1%eth0"), ("listener", "[::1]"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_in_words(field: str, value: str) -> None:
    with pytest.raises(BalancerError) as refusal:
        hostile_text(field, value)
    assert refusal.value.why


@pytest.mark.parametrize("change", [{"interval": 0.0}, {"timeout": -1.0}, {"interval": 1e12}, {"healthy_threshold": 0}])
def test_numbers_out_of_bounds_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(BalancerError, match="between"):
        render([a_routing(groups=(a_group(health_check=a_check(**change)),))], members(a_target(1)), PLACE)


def ruled(*rules: Rule, default: str | None = "web") -> Routing:
    return a_routing(listeners=(Listener(port=8080, default=default, rules=rules),))


@pytest.mark.parametrize(
    "routing", [a_routing(groups=(a_group(name="api"),)), ruled(Rule(forward="api", paths=("/",)))]
)
def test_a_listener_without_its_service_is_refused(routing: Routing) -> None:
    with pytest.raises(BalancerError, match="no such group"):
        render([routing], [], PLACE)


@pytest.mark.parametrize("fields", [{}, {"paths": ("/",), "hosts": ("a",)}])
def test_a_rule_has_either_paths_or_hosts(fields: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(BalancerError, match="either paths or hosts"):
        render([ruled(Rule(forward="web", **fields))], [], PLACE)


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [("paths", "api/*"), ("paths", ""), ("paths", "/a b"), ("paths", "/ä"), ("paths", "/a\nb"), ("paths", "/" + "a" * 2000),
     ("hosts", ""), ("hosts", "a b"), ("hosts", "a.test:8080"), ("hosts", "ä.test"), ("hosts", "a'b"), ("hosts", "a\n")],
)  # fmt: skip
def test_a_pattern_that_could_never_match_is_refused_in_words(kind: str, pattern: str) -> None:
    with pytest.raises(BalancerError, match=r"pattern .* cannot be given to HAProxy") as refusal:
        render([ruled(Rule(forward="web", **{kind: (pattern,)}))], [], PLACE)
    assert refusal.value.why


PATHS = st.one_of(
    st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60).map("/".__add__),
    st.text(alphabet="ab/.$%{}[]()'\"\\#;,|&-_!*?+^~@:=<>`", min_size=1, max_size=60).map("*".__add__),
    st.sampled_from(
        ["*}", "/*}", "*", "?", "/}", "/-f", "* -f", "/'", "*\\", "/%[env(HOME)]", "/${HOME}", "/$HOME", "/'\\''"]
    ),
)
HOSTS = st.one_of(
    st.text(alphabet="abAB09.-_*?", min_size=1, max_size=60),
    st.sampled_from(["[::1]", "*", "-f", "--", "-m", "?*", "a..b", "[*]", "A.TEST"]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[Slow.function_scoped_fixture])
@given(
    paths=st.lists(PATHS, min_size=1, max_size=4), hosts=st.lists(HOSTS, min_size=1, max_size=4, unique_by=str.lower)
)
def test_no_pattern_changes_more_than_its_own_directive(paths: list[str], hosts: list[str], haproxy: str) -> None:
    rules = Rule(forward="web", paths=tuple(paths)), Rule(forward="web", hosts=tuple(hosts))
    other = a_routing(stack="blog", check_token="b", listeners=(Listener(port=8080, default="web"),))
    try:
        text = render([ruled(*rules, default=None), other], [], PLACE)
    except BalancerError:
        return
    lines = text.split("\n")
    harmless = render([ruled(Rule(forward="web", hosts=("h",)), default=None), other], [], PLACE).split("\n")
    for line in set(lines) - set(harmless):
        assert line.startswith(
            ("    http-request set-var(txn.tg) str(shop.web) if", "    http-request set-var(txn.own) str(shop) if")
        )
    rest = [line for line in lines if not line.startswith("    http-request set-var(txn.")]
    assert rest == [line for line in harmless if not line.startswith("    http-request set-var(txn.")]
    assert verdict(haproxy, text) == ""


@given(pattern=st.text(alphabet="ab*?/.}", min_size=1, max_size=8), path=st.text(alphabet="ab/.}", max_size=8))
def test_a_pattern_matches_what_a_glob_does(pattern: str, path: str) -> None:
    expected = fnmatch.fnmatchcase(path, pattern)
    assert any(holds(condition, path) for condition in conditions("path", [pattern])) is expected


def holds(condition: str, path: str) -> bool:
    """What HAProxy would say (-m sub with a text that repeats, and so on, is what its manual says)."""
    if condition == "":
        return True
    kind, _, quoted = condition.removeprefix("{ path -m ").removesuffix(" }").partition(" -- ")
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
