"""Ports rest as long as possible, and keep out of the kernel's way."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.aiokit.ports import DEFAULT_RANGE, RESOURCE_RANGE, PortBook, apart, is_free, outside
from fairlead.errors import EngineError

from ..needs import need


@pytest.mark.parametrize(
    ("ephemeral", "ours"),
    [
        (range(32768, 61000), DEFAULT_RANGE),
        (range(1024, 20000), DEFAULT_RANGE),
        (range(25000, 61000), range(15000, 25000)),
        (range(10000, 61000), range(1024, 10000)),
        (range(1024, 50000), range(50000, 60000)),
        (range(1024, 65536), DEFAULT_RANGE),
    ],
)
def test_the_range_moves_out_of_the_ephemeral_one_where_there_is_room(ephemeral: range, ours: range) -> None:
    assert outside(DEFAULT_RANGE, ephemeral) == ours


@pytest.mark.parametrize(
    ("others", "ours"),
    [
        ((), RESOURCE_RANGE),
        ((range(32768, 61000), DEFAULT_RANGE), RESOURCE_RANGE),
        ((range(25000, 61000), range(15000, 25000)), range(61000, 62000)),
        ((range(25000, 65536), range(15000, 25000)), range(14000, 15000)),
        ((range(10000, 61000), range(1024, 10000)), range(61000, 62000)),
        ((range(1024, 65536), DEFAULT_RANGE), RESOURCE_RANGE),
    ],
)
def test_a_second_range_stays_apart_from_both(others: tuple[range, ...], ours: range) -> None:
    assert apart(RESOURCE_RANGE, others) == ours


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_a_shifted_range_never_overlaps_and_never_leaves_the_ports(first: int, last: int) -> None:
    ephemeral = range(min(first, last), max(first, last) + 1)
    ours = outside(DEFAULT_RANGE, ephemeral)
    assert ours == DEFAULT_RANGE or not set(ours) & set(ephemeral)
    assert ours.start >= 1024
    assert ours.stop <= 65536
    assert len(ours) > 0


@pytest.fixture
def record() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/last-port"


def free_range(length: int) -> range:
    """Ports that nobody holds now, below the ephemeral ones."""
    for first in range(11000, 19000, length):
        if all(is_free(port) for port in range(first, first + length)):
            return range(first, first + length)
    raise AssertionError("no free range")


def test_every_port_is_given_once_before_one_comes_back(record: str) -> None:
    ports = free_range(5)
    book = PortBook(ports, record)
    given_out = [book.next(()) for _ in range(5)]
    assert sorted(given_out) == list(ports)
    assert book.next(()) == given_out[0]


def test_the_round_goes_on_after_a_restart_and_after_a_broken_record(record: str) -> None:
    ports = free_range(4)
    first = PortBook(ports, record).next(())
    second = PortBook(ports, record).next(())
    assert second == ports.start + (first + 1 - ports.start) % 4
    for nonsense in ("", "x", "1"):
        Path(record).write_text(nonsense)
        assert PortBook(ports, record).next(()) in ports


def test_a_record_that_cannot_be_written_costs_no_port(record: str) -> None:
    ports = free_range(4)
    book = PortBook(ports, f"{record}/not/there")
    assert book.next(()) != book.next(())


def test_taken_and_bound_ports_are_skipped_until_none_is_left(record: str) -> None:
    ports = free_range(3)
    book = PortBook(ports, record)
    with closing(socket.socket()) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", ports[0]))
        assert {book.next({ports[1]}) for _ in range(3)} == {ports[2]}
        with pytest.raises(EngineError, match=f"between {ports[0]} and {ports[2]}"):
            book.next({ports[1], ports[2]})


def test_a_port_held_on_ipv6_only_is_not_free() -> None:
    need(os.path.exists("/proc/net/if_inet6"), "this machine has no IPv6")
    (port,) = free_range(1)
    with closing(socket.socket(socket.AF_INET6)) as held:
        held.bind(("::1", port))
        assert not is_free(port)
    assert is_free(port)
