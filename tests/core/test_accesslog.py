"""Names of the access log's files, and what one of its lines says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.accesslog import (
    Request,
    Segment,
    file_name,
    generation_of,
    number,
    parse,
    segment_of,
    stamp_of,
    written_at,
)

AMAZONS = (
    b"http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 0.001"
    b' 0.000 200 200 34 366 "GET http://www.example.com:80/a/b?c=d HTTP/1.1" "curl/7.46.0" - - arn:aws:elasticloadbalanc'
    b'ing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337262-36d228ad5d99923122bbe354" "-"'
    b' "-" 0 2018-07-02T22:22:48.364000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1234abcd5678ef90 "-" "-" "-"'
)
OURS = AMAZONS + b' "web-3" 2 ----'
UNANSWERED = (
    b"https 2026-11-21T00:00:10.500000Z app/shop/50dc6c495c0c9188 [::1]:2817 - -1 -1 -1 504 - 34 366"
    b' "GET https://shop.test:443/ HTTP/2.0" "-" - - - "Root=1-1-2" "-" "-" - 2026-11-20T23:59:40.000000Z'
    b' "forward" "-" "-" "-" "-" "-" "-" TID_1 "-" "-" "-"'
)


def said(line: bytes) -> Request:
    request = parse(line)
    assert request is not None
    return request


def test_every_field_of_a_line_is_told_by_its_name() -> None:
    request = said(OURS)
    assert request[:12] == tuple(AMAZONS.decode().split(" ")[:12])
    assert (request.method, request.url, request.protocol) == ("GET", "http://www.example.com:80/a/b?c=d", "HTTP/1.1")
    assert (request.path, request.stack, request.service) == ("/a/b", "my-loadbalancer", "my-targets")
    assert (request.client_address, request.duration) == ("192.168.131.39", 0.001)
    assert (request.conn_trace_id, request.request_transform_status) == ("TID_1234abcd5678ef90", "-")
    assert (request.instance, request.retries, request.termination_state) == ("web-3", "2", "----")


def test_fields_behind_those_that_are_known_may_be_missing_or_more() -> None:
    assert said(AMAZONS).instance == "-"
    assert said(OURS + b' "new" 17') == said(OURS)
    assert said(AMAZONS + b' "web-3"')[33:] == ("web-3", "-", "-")


def test_what_a_client_sends_stays_in_its_field() -> None:
    line = OURS.replace(b"curl/7.46.0", rb"a\" \"b\\ - - \] c")
    assert said(line).user_agent == 'a" "b\\ - - ] c'
    assert said(line)[14:] == said(OURS)[14:]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Proxy _l.127.0.0.1:8080 stopped (cumulated conns: FE: 3, BE: 0).",
        OURS[:200],
        b"\0\0" + OURS[1:300],
        OURS.replace(b'"curl/7.46.0"', b'"curl'),
    ],
)
def test_what_is_no_request_is_none(line: bytes) -> None:
    assert parse(line) is None


def test_a_request_that_no_target_answered_took_until_it_ended_also_over_midnight() -> None:
    request = said(UNANSWERED)
    assert request.duration == 30.5
    assert (request.service, request.client_address) == ("", "::1")


def test_json_has_athenas_names_and_numbers_and_null_for_what_there_is_not() -> None:
    found = said(UNANSWERED).to_json()
    assert found["client_ip"] == "::1"
    assert found["client_port"] == 2817
    assert found["target_ip"] is found["target_port"] is found["target_processing_time"] is None
    assert (found["elb_status_code"], found["target_status_code"], found["sent_bytes"]) == (504, None, 366)
    assert (found["request_verb"], found["request_proto"]) == ("GET", "HTTP/2.0")
    assert found["matched_rule_priority"] is found["instance"] is found["retries"] is None
    found = said(OURS).to_json()
    assert (found["target_ip"], found["target_port"], found["target_processing_time"]) == ("10.0.0.1", 80, 0.001)
    assert (found["instance"], found["retries"], found["matched_rule_priority"]) == ("web-3", 2, 0)
    # Three fields are two or three columns each.
    assert len(found) == len(Request._fields) + 1 + 1 + 2


@pytest.mark.parametrize(
    ("text", "value"), [("12", 12), ("0.012", 0.012), ("-", None), ("-1", None), ("", None), ("x", None)]
)
def test_a_number_is_a_number_or_nothing(text: str, value: float | None) -> None:
    assert number(text) == value


def test_a_rule_that_failed_is_a_number_too() -> None:
    assert said(UNANSWERED.replace(b'"-" "-" - 2026', b'"-" "-" -1 2026')).to_json()["matched_rule_priority"] == -1


def test_a_name_says_whose_bytes_a_file_has_and_when_they_were_written() -> None:
    one = Segment(generation=7, begin=10, end=2000, first="20261121T192243Z", last="20261121T201500Z")
    assert one.name == "access.7.10-2000.20261121T192243Z-20261121T201500Z.log.gz"
    assert segment_of(one.name) == one
    assert generation_of(file_name(7)) == 7


@pytest.mark.parametrize(
    "name", ["access.0.log", "access.7.log.part", "access..log", "x", "access.7.log.gz", "access.07.log"]
)
def test_other_names_are_no_ones(name: str) -> None:
    assert generation_of(name) is None
    assert segment_of(name) is None


def test_segments_are_in_the_order_in_which_they_were_written_last() -> None:
    early = Segment(generation=9, begin=0, end=10, first="20261121T000000Z", last="20261121T000001Z")
    late = Segment(generation=7, begin=0, end=10, first="20261120T000000Z", last="20261121T000002Z")
    assert sorted([late, early]) == [early, late]


def test_the_second_of_a_line_is_told_without_reading_the_rest() -> None:
    assert written_at(OURS[:64]) == "20180702T222300Z"
    assert written_at(b"Proxy stopped") == written_at(b"") == written_at(b"http soon ") == ""
    assert stamp_of("2026-11-21T19:22:43.5Z") == "20261121T192243Z"


def test_a_time_that_is_none_makes_no_duration() -> None:
    assert said(UNANSWERED.replace(b"2026-11-20T23:59:40.000000Z", b"-")).duration is None


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"])))
def test_any_text_comes_back_out_of_its_quotes(text: str) -> None:
    escaped = "".join(f"\\{one}" if one in '"\\]' else one for one in text)
    request = said(OURS.replace(b"curl/7.46.0", escaped.encode()))
    assert request.user_agent == text
    assert request[14:] == said(OURS)[14:]


@given(st.binary(max_size=40), st.integers(0, len(OURS)), st.integers(0, 40))
def test_a_line_that_something_has_damaged_is_read_or_not_but_never_fails(junk: bytes, at: int, instead: int) -> None:
    request = parse(OURS[:at] + junk + OURS[at + instead :])
    if request is not None:
        assert json.loads(json.dumps(request.to_json()))["type"] == request.type
        assert request.duration is None or request.duration >= 0
        assert request.path.startswith("/")
        assert isinstance(request.method + request.service + request.stack + request.client_address, str)
