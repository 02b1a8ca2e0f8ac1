"""Ports: reserved without a listener, owned by one stack, lent and taken back."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from fairlead.core.model import Listener, forward_to
from fairlead.errors import BalancerError, PortInUse
from fairlead.haproxy import sockets
from fairlead.haproxy.claims import claims_of
from fairlead.haproxy.holders import describe_holder
from fairlead.haproxy.sockets import Ports
from tests.haproxy.apps import free_port
from tests.haproxy.builders import a_rule

pytestmark = pytest.mark.live


def at(port: int, address: str = "127.0.0.1") -> tuple[Listener, ...]:
    return (Listener(port=port, default=forward_to("web"), address=address),)


def connects(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def ports() -> Ports:
    return Ports()


@pytest.fixture(autouse=True)
def closed(ports: Ports) -> object:
    yield
    ports.close(ports.all())


def test_a_reserved_port_refuses_clients_and_everyone_else_who_wants_it(ports: Ports) -> None:
    port = free_port()
    ports.reserve("shop", at(port))
    assert not connects(port)
    for reuse in (0, 1):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))


def test_an_opened_port_takes_clients_and_can_be_shut_and_opened_again(ports: Ports) -> None:
    port = free_port()
    (endpoint,) = ports.reserve("shop", at(port))
    assert ports.open([endpoint]) == [endpoint]
    assert connects(port)
    assert ports.open([endpoint]) == []
    ports.shut([endpoint])
    assert not connects(port)
    ports.open([endpoint])
    assert connects(port)


def test_reserving_again_binds_nothing_new(ports: Ports) -> None:
    port = free_port()
    assert ports.reserve("shop", at(port)) == [("127.0.0.1", port)]
    assert ports.reserve("shop", at(port)) == []


def test_a_refusal_gives_back_what_was_bound_with_it(ports: Ports) -> None:
    first, taken = free_port(), free_port()
    with socket.create_server(("127.0.0.1", taken)):
        with pytest.raises(PortInUse):
            ports.reserve("shop", at(first) + at(taken))
        assert ports.all() == []
        with socket.create_server(("127.0.0.1", first)):
            pass


@pytest.mark.parametrize(
    ("mine", "theirs"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("127.0.0.1", "::")]
)
def test_a_wildcard_is_in_the_way_of_every_address(ports: Ports, mine: str, theirs: str) -> None:
    port = free_port()
    ports.reserve("shop", at(port, mine))
    with pytest.raises(PortInUse, match="stack shop has"):
        ports.reserve("other", at(port, theirs))
    with pytest.raises(PortInUse, match="itself"):
        ports.reserve("shop", at(port, theirs))


def test_a_port_is_held_until_the_last_stack_that_shares_it_has_left(ports: Ports) -> None:
    port = free_port()
    endpoint = ("127.0.0.1", port)
    blog = (Listener(port=port, default=None, rules=(a_rule("web", hosts=("blog.test",)),)),)
    ports.open(ports.reserve("shop", at(port)))
    assert ports.reserve("blog", blog) == []
    assert ports.stacks(endpoint) == ["blog", "shop"]
    ports.settle("shop", {})
    assert connects(port)
    ports.settle("blog", {})
    assert not connects(port)
    assert ports.all() == []


def test_what_was_reserved_last_and_what_is_configured_both_count(ports: Ports) -> None:
    (listener,) = at(free_port())
    ports.reserve("shop", (listener,))
    moved = Listener(port=listener.port, default=None, rules=(a_rule("web", hosts=("shop.test",)),))
    ports.reserve("shop", (moved,))  # the next `up` of it, under way
    with pytest.raises(PortInUse, match="stack shop has a default"):
        ports.reserve("blog", (listener,))
    ports.settle("shop", claims_of((moved,)))
    ports.reserve("blog", (listener,))
    with pytest.raises(PortInUse, match=r"stack shop claims host shop\.test there, and so would stack other"):
        ports.reserve("other", (moved,))


@pytest.mark.parametrize(("user", "advice"), [(1000, True), (0, False)])
def test_a_low_port_is_refused_with_the_command_that_allows_it(
    ports: Ports, monkeypatch: pytest.MonkeyPatch, user: int, advice: bool
) -> None:
    def forbidden(_self: socket.socket, _where: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(sockets.os, "geteuid", lambda: user)
    monkeypatch.setattr(sockets.socket.socket, "bind", forbidden)
    with pytest.raises(BalancerError) as refusal:
        ports.reserve("shop", (*at(443), *at(80)))
    command = "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80"
    assert (command in refusal.value.next_step) is advice
    assert ("/etc/sysctl.d/" in refusal.value.next_step) is advice
    assert ("sudo" in refusal.value.next_step) is advice
    assert refusal.value.what == "fairlead cannot listen on 127.0.0.1:443"


def test_different_addresses_share_a_port_number(ports: Ports) -> None:
    port = free_port()
    ports.reserve("shop", at(port, "127.0.0.1"))
    ports.reserve("other", at(port, "127.0.0.2"))
    assert len(ports.all()) == 2


def test_sockets_of_a_running_haproxy_are_taken_and_given_to_their_stack(ports: Ports) -> None:
    ours = socket.create_server(("127.0.0.1", 0))
    port = ours.getsockname()[1]
    ports.adopt([ours, ours.dup()])
    assert ports.all() == [("127.0.0.1", port)]
    ports.reserve("shop", at(port))
    assert ports.stacks(("127.0.0.1", port)) == ["shop"]


def test_an_address_of_another_machine_is_refused_in_words(ports: Ports) -> None:
    with pytest.raises(BalancerError, match="no such address"):
        ports.reserve("shop", at(free_port(), "192.0.2.1"))


def test_the_holder_is_named_by_pid_name_and_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        clause = describe_holder("0.0.0.0", port)
    assert clause.startswith(f"process {os.getpid()} (")
    assert clause.endswith(f"listens on 127.0.0.1:{port}")


def test_a_port_that_is_only_bound_is_told_as_that() -> None:
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        assert "does not listen" in describe_holder("127.0.0.1", ours.getsockname()[1])
