"""Text of others obeys nobody's terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äöü 漢字 👩‍👩‍👧\twith tab\nand line", "plain äöü 漢字 👩‍👩‍👧\twith tab\nand line"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b1mbold\x9bm", "bold"),
        ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[\x1b[mm", "\\x1b[m"),
        ("dos\r\nline", "dos\nline"),
        ("over\rwritten", "over\\x0dwritten"),
        ("a\0b\x08\x7f\x85", "a\\x00b\\x08\\x7f\\x85"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u2028b\ufeff", "a\\u2028b\\ufeff"),
        (b"\xff\xfe caf\xc3\xa9".decode(errors="surrogateescape"), "\\xff\\xfe café"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_is_left_that_a_terminal_obeys_and_a_second_pass_changes_nothing(text: str) -> None:
    shown = printable(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t"]
    assert not [c for c in shown if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI")]
    assert printable(shown) == shown
    shown.encode()
