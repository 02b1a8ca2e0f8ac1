"""Laws of reading: whatever the text, it ends soon, with a stack or with a SpecError that can be printed."""

from __future__ import annotations

import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.model import Stack
from fairlead.errors import SpecError
from fairlead.spec import parse_text
from tests.spec.builders import FILE, problems_of
from tests.spec.test_reference_file import REFERENCE

TEXT = REFERENCE.read_text()
BODY = "\n".join(
    line.split(" #")[0] for line in TEXT.splitlines() if line.strip() and not line.lstrip().startswith("#")
)
LINES = BODY.splitlines()
PIECES = [
    "{", "}", "[", "]", ":", ": ", "- ", "\n", "\n  ", "\t", "'", '"', "|", ">", "&a ", "*a", "!!str ", "#", "?", "~", "0", "-1",
    "1e400", "9" * 30, "30s", "90%", "none", "true", "${env.A}", "${env.MISSING}", "${instance.port}", "${", "}", "\x00",
    "\x1b[31m", "\u2028", "é", "\U0001f600", "\ufeff", "---\n", "%YAML 1.1\n", "forward", "services", "web", "port", "<<: ", "\\",
]  # fmt: skip
LINE = re.compile(r"(fairlead\.yaml:\d+:\d+|\.env:\d+): .+|and \d+ more")
PLACE = re.compile(r"(fairlead\.yaml|\.env):(\d+)(?::(\d+))?: ")
ENV = {"A": "8080", "B": "\x1b[31m${instance.id}", "C": ""}


def read(text: str, dotenv: str = "") -> Stack | SpecError:
    """What reading gives; anything else that it raises ends the test."""
    began = time.monotonic()
    try:
        result: Stack | SpecError = parse_text(text, FILE, ENV, dotenv)
    except SpecError as error:
        result = error
    assert time.monotonic() - began < 1, "reading ends quickly"
    if isinstance(result, SpecError):
        assert_printable_and_in_order(result.problems)
    return result


def assert_printable_and_in_order(problems: tuple[str, ...]) -> None:
    assert problems
    assert all(LINE.fullmatch(line) and line.isprintable() for line in problems), problems
    places = [match.groups() for line in problems if (match := PLACE.match(line))]
    order = [(name == ".env", int(number), int(column or 0)) for name, number, column in places]
    assert order == sorted(order)


@settings(max_examples=350, deadline=None)
@given(st.data())
def test_a_mutated_file_gives_a_stack_or_a_spec_error(data: st.DataObject) -> None:
    text = "\n".join(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        upto = at + data.draw(st.sampled_from([0, 0, 1, 2, 5, 40]))
        text = text[:at] + data.draw(st.sampled_from(PIECES)) + text[upto:]
    assert read(text)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_file_whose_values_are_swapped_gives_a_stack_or_a_spec_error(data: st.DataObject) -> None:
    """Each stage beyond the first is reached, since the text stays YAML."""
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 6))):
        number = data.draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[number].partition(": ")
        if colon:
            values = [
                "3",
                "text",
                "[]",
                "{}",
                "[a, b]",
                "{a: b}",
                "true",
                "''",
                "-1",
                "30s",
                "${env.B}",
                '"\\e"',
                "[[]]",
                "none",
            ]
            lines[number] = key + colon + data.draw(st.sampled_from(values))
        else:
            del lines[number]
    assert read("\n".join(lines))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *LINES]), max_size=30).map("".join), st.text(max_size=20))
def test_a_file_of_pieces_gives_a_stack_or_a_spec_error(text: str, dotenv: str) -> None:
    assert read(text, dotenv)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text_gives_a_stack_or_a_spec_error(text: str) -> None:
    assert read(text)


def test_the_largest_files_end_quickly() -> None:
    for text in (
        "a: " + "x" * 900_000,
        "a: [" + "1, " * 300_000,
        "name: shop\nservices:\n" + "".join(f"  s{n}: {{command: x, after: [s{n + 1}]}}\n" for n in range(2000)),
        "name: shop\nservices:\n  web:\n    command: '" + "a" * 900_000 + "'\n",
        "name: shop\n" + "".join(f"k{n}: 1\n" for n in range(9000)),
        "name: shop\nservices:\n  web:\n    app: 'a:b'\n    environment:\n"
        + "".join(f"      K{n}: ${{x}}\n" for n in range(9000)),
    ):
        began = time.monotonic()
        assert problems_of(text)
        assert time.monotonic() - began < 2
