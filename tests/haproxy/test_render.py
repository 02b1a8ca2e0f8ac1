"""The configuration: golden files that HAProxy itself accepts, and values that cannot break out of their directive."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck as Slow
from hypothesis import example, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from fairlead.core.model import Listener
from fairlead.core.traffic import Routing, Target
from fairlead.errors import BalancerError
from fairlead.haproxy.render import Place, maxconn, render, static_part, threads_for
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


def test_a_listener_without_its_service_is_refused() -> None:
    with pytest.raises(BalancerError, match="no such group"):
        render([a_routing(groups=(a_group(name="api"),))], [], PLACE)
