"""Response times and own answers, as far as no HAProxy is needed: the map of buckets, and how tables are read."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.latency import BUCKETS, HEAD_START, LONGEST, SCALE, bucket_of
from fairlead.haproxy import own, timing

ENTRIES = {
    IPv4Network(network): int(bucket) for network, bucket in map(str.split, timing.table_of_buckets().splitlines())
}


def looked_up(microseconds: int) -> int:
    """As HAProxy does: the longest prefix of what the division gives."""
    pace = IPv4Address(SCALE // (microseconds + HEAD_START))
    return next(
        ENTRIES[network]
        for network in (IPv4Network((pace, size), strict=False) for size in range(32, -1, -1))
        if network in ENTRIES
    )


@given(st.one_of(st.integers(0, 10**5), st.integers(0, 10**7), st.integers(0, 2 * LONGEST)))
def test_the_map_has_for_each_time_its_bucket(microseconds: int) -> None:
    assert looked_up(microseconds) == bucket_of(microseconds)


def test_a_target_and_a_bucket_make_one_number() -> None:
    assert BUCKETS <= timing.PER_SERVER
    assert timing.PER_SERVER > 999, "a status modulo it is the status"


ANSWER = """\
# table: _counted/shop.web, type: integer, size:65536, used:3
0x18abb2d8: key=1051 use=0 exp=599694 shard=0 http_req_cnt=6
0x18abb618: key=1052 use=1 exp=599694 shard=0 http_req_cnt=2
0x18abb138: key=12290 use=0 exp=599694 shard=0 http_req_cnt=4000000000

# table: _counted/shop.api-2, type: integer, size:65536, used:0

# table: _counted/blog.web, type: integer, size:65536, used:1
0x18abc228: key=1051 use=0 exp=599696 shard=0 http_req_cnt=8

"""


def test_what_tables_say_is_the_histogram_of_each_target() -> None:
    assert timing.parse(ANSWER) == {
        ("shop.web", "web-1"): {27: 6, 28: 2},
        ("shop.web", "web-12"): {2: 4_000_000_000},
        ("blog.web", "web-1"): {27: 8},
    }


def test_an_answer_that_says_nothing_is_nothing() -> None:
    assert timing.parse("") == timing.parse("Unknown table\n") == {}
    assert own.parse("") == own.parse("Unknown table\n") == {}


def test_every_group_is_asked_for_its_own_table() -> None:
    asked = timing.questions(["shop.web", "blog.web"])
    assert [question.rpartition("/")[2] for question in asked] == ["shop.web", "blog.web"]


def test_what_the_balancer_answered_itself_is_told_by_stack() -> None:
    counters = " ".join(f"gpc{number}={number + 1}" for number in range(len(own.KINDS)))
    answer = f"# table: {own.TABLE}, type: string, size:10000, used:1\n0x1: key=shop use=0 exp=1 shard=0 {counters}\n\n"
    assert own.parse(answer) == {"shop": {kind: number + 1 for number, kind in enumerate(own.KINDS)}}
