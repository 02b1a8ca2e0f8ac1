"""The text of `.env`, as its users write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.spec.dotenv import parse_dotenv


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {}),
        ("\n# nothing\n   \n", {}),
        ("A=1", {"A": "1"}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("export A=1\n export  B = 2 \n", {"A": "1", "B": "2"}),
        ("A=\nB= \nC=''\n", {"A": "", "B": "", "C": ""}),
        ("A=1 # one\nB=x#y\nC=# empty\n", {"A": "1", "B": "x#y", "C": ""}),
        ("A='x # $y \\n' # z\n", {"A": "x # $y \\n"}),
        ('A="x\\n\\ty \\"q\\" \\\\ \\$z"#c\n', {"A": 'x\n\ty "q" \\ $z'}),
        ('A="one\ntwo"\nB=3\n', {"A": "one\ntwo", "B": "3"}),
        ("A='one\ntwo'\n", {"A": "one\ntwo"}),
        ('A=it\'s "fine" here\n', {"A": 'it\'s "fine" here'}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("URL=redis://u:p@h:6379/0?a=b\n", {"URL": "redis://u:p@h:6379/0?a=b"}),
        ("A=${B}\n", {"A": "${B}"}),
    ],
)
def test_what_a_dotenv_says(text: str, variables: dict[str, str]) -> None:
    assert parse_dotenv(text) == (variables, [])


def test_every_line_that_cannot_be_read_is_named_and_none_is_repeated() -> None:
    text = "A=1\nsecret\nB=\"x\ny\"\n1A=secret\nC=\"secret\nD=4\n'=secret\nE='x' secret\n=secret\n"
    variables, problems = parse_dotenv(text)
    assert [str(problem) for problem in problems] == [
        ".env:2: is not KEY=VALUE; correct the line, or begin it with #",
        ".env:5: is not KEY=VALUE; correct the line, or begin it with #",
        ".env:6: the quotes are not closed, or something follows them; quote the whole value",
        ".env:8: is not KEY=VALUE; correct the line, or begin it with #",
        ".env:9: the quotes are not closed, or something follows them; quote the whole value",
        ".env:10: is not KEY=VALUE; correct the line, or begin it with #",
    ]
    assert variables == {"A": "1", "B": "x\ny", "D": "4"}


@given(st.text(alphabet="AB=#'\"\\\n\r \t$x", max_size=60))
def test_any_text_is_read_line_by_line(text: str) -> None:
    _, problems = parse_dotenv(text)
    lines = [problem.place.line for problem in problems]
    assert lines == sorted(set(lines))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines)


@pytest.mark.parametrize("text", ["A=x" + " " * 200_000 + "y", "A=" + '"\\' * 100_000, "=" * 200_000, "A='\n" * 20_000])
def test_no_text_makes_it_slow(text: str) -> None:
    parse_dotenv(text)
