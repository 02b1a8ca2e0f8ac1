"""The number in what was printed or answered, or what was there instead, in words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.metrics.gauge_numbers import MOST, SHOWN, in_json, in_prometheus, printed, shown


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("17\n", 17.0),
        ("warming up\n 3.5 \r\n", 3.5),
        ("1\n2\nbye", 2.0),
        ("-1e3", -1000.0),
        (".5\n", 0.5),
        ("5\nnan\ninf\n1e999\n", 5.0),
        ("1e308\n", None),
        ("7\n-1e31\n", 7.0),
        ("", None),
        ("\n\n", None),
        ("nan\n", None),
        ("1_000\n", None),
        ("0x10\n", None),
        ("length: 7\n", None),
        ("\u0663\n", None),
        ("\x00\xff\ufffd", None),
    ],
)
def test_the_last_line_that_is_a_finite_number_is_taken(text: str, value: float | None) -> None:
    assert printed(text) == value


@given(st.text())
def test_whatever_is_printed_gives_a_finite_number_or_none(text: str) -> None:
    value = printed(text)
    assert value is None or math.isfinite(value)


@given(st.floats(-MOST, MOST), st.text("ab \n\t:"))
def test_a_number_is_read_with_all_its_digits(value: float, before: str) -> None:
    assert printed(f"{before}\n{value!r}\n") == value


ANSWER = json.dumps(
    {"queues": [{"length": 3}, {"length": 4.5}], "a": {"0": 7}, "on": True, "name": "x", "none": None, "big": 10**400}
).encode()


@pytest.mark.parametrize(("path", "value"), [("queues.0.length", 3.0), ("queues.1.length", 4.5), ("a.0", 7.0)])
def test_a_dotted_path_leads_through_keys_and_places_in_lists(path: str, value: float) -> None:
    assert in_json(ANSWER, path) == value


@pytest.mark.parametrize(
    ("body", "path", "said"),
    [
        (ANSWER, "queue.0", "the answer has no queue: it has queues, a, on, name, none, big"),
        (ANSWER, "queues.2.length", "queues has no 2: it is a list of 2"),
        (ANSWER, "queues.-1.length", "queues has no -1: it is a list of 2"),
        (ANSWER, "queues.first", "queues has no first: it is a list of 2"),
        (ANSWER, "name.length", 'name has no length: it is "x"'),
        (ANSWER, "name", 'name is no number: "x"'),
        (ANSWER, "on", "on is no number: true"),
        (ANSWER, "none", "none is no number: null"),
        (ANSWER, "big", "big is no finite number"),
        (b"{}", "a", "the answer has no a: it has nothing"),
        (b'{"a": NaN}', "a", "a is no finite number"),
        (b'{"a": 1e999}', "a", "a is no finite number"),
        (b'{"a": 1e300}', "a", "a is no finite number up to 1e+30"),
        (b"<html>\x1b[31mno</html>", "a", "the answer is no JSON: <html> [31mno</html>"),
        (b"", "a", "the answer is no JSON"),
        (b"\xff\xfe", "a", "the answer is no JSON: "),
        (b"[" * 100_000, "a", "the answer is no JSON: ...["),
        (b"9" * 6000, "a", "the answer is no JSON: ...999"),
    ],
)
def test_what_is_no_number_in_an_answer_is_said(body: bytes, path: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        in_json(body, path)


@given(st.binary(max_size=200), st.sampled_from(["a", "0", "a.0.b"]))
def test_whatever_is_answered_gives_a_number_or_says_why_not(body: bytes, path: str) -> None:
    assert is_said_or_finite(in_json, body, path)
    assert is_said_or_finite(in_prometheus, body, "q")


def is_said_or_finite(read: Callable[[bytes, str], float], body: bytes, what: str) -> bool:
    try:
        return math.isfinite(read(body, what))
    except ValueError as problem:
        return str(problem).isprintable()


TEXT = b"""\
# HELP queue_length Messages that wait.
# TYPE queue_length gauge
queue_length{name="mail",host="a"} 12
queue_length{name="sms",host="a"} 3
queue_length_bytes 900
sent_total 5e3 1700000000000
odd{name="a}, \\"b\\""} 1
strange NaN
"""


@pytest.mark.parametrize(
    ("series", "value"),
    [
        ('queue_length{name="mail"}', 12.0),
        ('queue_length{host="a", name="sms"}', 3.0),
        ("queue_length_bytes", 900.0),
        ("sent_total", 5000.0),
        ('odd{name="a}, \\"b\\""}', 1.0),
    ],
)
def test_a_series_is_chosen_by_its_name_and_those_labels_that_are_named(series: str, value: float) -> None:
    assert in_prometheus(TEXT, series) == value


@pytest.mark.parametrize(
    ("body", "series", "said"),
    [
        (
            TEXT,
            "queue_length",
            'queue_length is 2 series, name the labels of one: queue_length{name="mail", host="a"}; '
            'queue_length{name="sms", host="a"}',
        ),
        (TEXT, 'queue_length{host="a"}', 'queue_length{host="a"} is 2 series, name the labels of one: queue_length{'),
        (
            TEXT,
            'queue_length{name="letters"}',
            'there is no series queue_length{name="letters"}: there is queue_length{name="mail",host="a"} 12; ',
        ),
        (TEXT, "queue", "there is no series queue"),
        (TEXT, "strange", "strange is nan, which is no finite number"),
        (b"", "q", "there is no series q"),
        (b"q{\n", "q", "the answer is no Prometheus text: q{"),
        (b"q many\n", "q", "the answer is no Prometheus text: q many"),
        (b"q 1\nq 2\n", "q", "q is 2 series, name the labels of one: q; q"),
    ],
)
def test_what_is_no_one_series_is_said(body: bytes, series: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        in_prometheus(body, series)


def test_a_long_text_is_shown_by_its_end() -> None:
    assert shown("a\tb\n  c\x1b") == "a b c"
    assert shown("x" * 5000 + " the end") == ("..." + "x" * (SHOWN - 8) + " the end")
