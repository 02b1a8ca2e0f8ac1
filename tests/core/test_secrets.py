"""What is made of a secret that was typed, pasted or piped in; and that nothing said repeats it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.secrets import LONGEST, check_name, flaw_of, trimmed, unseen_in
from fairlead.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("sk_live_1", "sk_live_1", ()),
        ("sk_live_1\n", "sk_live_1", ("line breaks",)),
        ("  sk_live_1\t\r\n", "sk_live_1", ("line breaks", "blanks")),
        ("\ufeffsk_live_1", "sk_live_1", ("a byte order mark",)),
        ("\u200bsk_live_1\u2060", "sk_live_1", ("invisible characters",)),
        ("\ufeff \u200bsk_live_1", "sk_live_1", ("a byte order mark", "invisible characters", "blanks")),
        ("\u00a0sk_live_1\u3000", "sk_live_1", ("blanks",)),
        ("one two", "one two", ()),
        ("zero\u200bwidth", "zero\u200bwidth", ()),
        ("-----BEGIN-----\r\nabc\r\n-----END-----\r\n", "-----BEGIN-----\nabc\n-----END-----",
         ("line breaks", "carriage returns")),
        (" \n\ufeff\u200b ", "", ("line breaks", "a byte order mark", "invisible characters", "blanks")),
        ("", "", ()),
    ],
)  # fmt: skip
def test_what_pasting_and_echo_bring_is_taken_off_and_said(text: str, value: str, said: tuple[str, ...]) -> None:
    assert trimmed(text) == (value, said)


@given(st.text(st.characters(exclude_categories=[])))
def test_trimming_again_changes_nothing_and_says_nothing(text: str) -> None:
    value, _ = trimmed(text)
    assert trimmed(value) == (value, ())


@given(st.text(st.characters(exclude_categories=[])))
def test_whatever_is_taken_off_is_said(text: str) -> None:
    value, said = trimmed(text)
    assert bool(said) == (value != text)


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        ("sk_live_1", ""),
        ("päss wörd € 🔑", ""),
        ("two\n\tlines", ""),
        ("x" * LONGEST, ""),
        ("", "it is empty"),
        ("x" * (LONGEST + 1), "it has 65537 bytes, and may have 65536"),
        ("ä" * (LONGEST // 2 + 1), "it has 65538 bytes, and may have 65536"),
        ("ab\0cd", "character 3 of it is the control character U+0000"),
        ("\x1b[200~x", "character 1 of it is the control character U+001B"),
        ("a\x85b", "character 2 of it is the control character U+0085"),
        ("a\rb", "character 2 of it is the control character U+000D"),
        ("a\udcffb", "it is not UTF-8"),
    ],
)
def test_what_no_program_could_be_given_is_a_flaw(value: str, flaw: str) -> None:
    assert flaw_of(value) == flaw


@pytest.mark.parametrize(
    ("value", "unseen"),
    [
        ("sk_live_1", ""),
        ("päss wörd €", ""),
        ("two\n\tlines", ""),
        ("zero\u200bwidth", "character 5 of it, U+200B, is not to be seen, and stays"),
        ("no\u00a0break", "character 3 of it, U+00A0, is not to be seen, and stays"),
        ("a\ufeffb", "character 2 of it, U+FEFF, is not to be seen, and stays"),
    ],
)
def test_what_pasting_may_have_brought_into_the_middle_is_told_by_its_place(value: str, unseen: str) -> None:
    assert unseen_in(value) == unseen


@pytest.mark.parametrize("name", ["STRIPE_KEY", "_a", "x1", "A" * 256])
def test_a_variables_name_is_a_name(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "1A", "A-B", "A B", "A=s3cret", "resource:store", "Ä", "A\n", "A" * 257, "sk_live:s3cret"]
)
def test_another_is_refused_and_not_repeated_for_it_may_be_a_value(name: str) -> None:
    with pytest.raises(UsageError, match="that is no name of a secret") as caught:
        check_name(name)
    assert not name or name not in str(caught.value.to_json())


@pytest.mark.parametrize("name", ["PORT", "SOCKET", "FAIRLEAD_HOME", "UID", "_"])
def test_variables_of_fairlead_and_of_shells_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} cannot be a secret"):
        check_name(name)
