"""Commands written for a shell, turned into words that no shell sees; what needs one is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import UsageError
from fairlead.scaffold.words import words_of
from fairlead.scaffold.write import _command, scalar  # the two that quote: a law of theirs is tested here
from fairlead.spec import parse_text


@pytest.mark.parametrize(
    ("text", "argv", "variables"),
    [
        ("node server.js", ("node", "server.js"), {}),
        ("A=1 B='x y' ./run -p $PORT", ("./run", "-p", "${instance.port}"), {"A": "1", "B": "x y"}),
        ("run --at=${PORT:-8000}", ("run", "--at=${instance.port}"), {}),
        ("run --bind 0.0.0.0:$PORT", ("run", "--bind", "127.0.0.1:${instance.port}"), {}),
        ("uvicorn a:b", ("uvicorn", "a:b", "--port", "${instance.port}"), {}),
        ("bin/gunicorn -b :80 a", ("bin/gunicorn", "-b", ":80", "a"), {}),
        ("run 'a;b' \"c d\"", ("run", "a;b", "c d"), {}),
        ("run --url $URL", ("sh", "-c", "exec run --url $URL"), {}),
        ("run ${URL}x > log", ("sh", "-c", "exec run ${URL}x > log"), None),
        ("a && b $PORT", ("sh", "-c", "a && b $PORT"), {}),
        ("X=$Y run", ("sh", "-c", "X=$Y run"), {}),
    ],
)
def test_words(text: str, argv: tuple[str, ...], variables: dict[str, str] | None) -> None:
    if variables is None:
        with pytest.raises(UsageError, match="cannot be taken over"):
            words_of(text, serves=True)
        return
    words = words_of(text, serves=True)
    assert (words.argv, words.variables) == (argv, variables)


def test_a_worker_is_not_told_where_to_listen() -> None:
    assert words_of("uvicorn a:b", serves=False).argv == ("uvicorn", "a:b")


@pytest.mark.parametrize("text", ["", "  ", "'open", "A=1"])
def test_what_is_no_command_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        words_of(text, serves=True)


def test_whether_it_names_its_port_is_known() -> None:
    assert words_of("run $PORT", serves=True).names_port
    assert words_of("run $PORT | tee log", serves=True).names_port
    assert not words_of("run", serves=True).names_port


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters="$"), max_size=20)


@given(PRINTABLE)
def test_a_scalar_is_read_back_as_it_was(value: str) -> None:
    import yaml

    assert yaml.safe_load(f"x: {scalar(value)}") == {"x": value}


@given(st.lists(st.text("ab'\"\\ -;|&*#:{}[],%@!`~", min_size=1, max_size=8), min_size=1, max_size=4))
def test_a_command_is_read_back_as_the_same_words(words: list[str]) -> None:
    text = f"name: x\nservices:\n  web:\n    command: {_command(('run', *words))}\n"
    program = parse_text(text, "/x/fairlead.yaml", {}).service("web").program
    assert program.argv == ("run", *words)  # type: ignore[union-attr]
