"""Numbers in tables are short, and never look like what they are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cli.amounts import SHOWN, amount, data_size, percent, share, span


@pytest.mark.parametrize(
    ("shown", "value", "text"),
    [
        (amount, 0.0, "0"),
        (amount, 0.0004, "4e-4"),
        (amount, 0.04, "0.04"),
        (amount, 0.3, "0.3"),
        (amount, 3.0, "3"),
        (amount, 12.34, "12.3"),
        (amount, 99.96, "100"),
        (amount, 112.4, "112"),
        (amount, 999.4, "999"),
        (amount, 999.5, "1k"),
        (amount, 33_700.0, "33.7k"),
        (amount, 999_600.0, "1M"),
        (amount, 1_200_000.0, "1.2M"),
        (amount, 1e21, "1000E"),
        (data_size, 0.0, "0 B"),
        (data_size, 512.0, "512 B"),
        (data_size, 3.4e9, "3.4 GB"),
        (span, 0.0, "0 ms"),
        (span, 0.000042, "42 us"),
        (span, 0.00042, "0.4 ms"),
        (span, 0.0123, "12.3 ms"),
        (span, 0.9994, "999 ms"),
        (span, 0.9996, "1 s"),
        (span, 75.0, "75 s"),
        (span, 1200.0, "20 min"),
        (percent, 240.4, "240%"),
        (percent, 0.04, "0.04%"),
        (share, 0.0017, "0.2%"),
        (share, 1.0, "100%"),
    ],
)
def test_a_number_is_shown_in_few_characters(shown: object, value: float, text: str) -> None:
    assert callable(shown)
    assert shown(value) == text


@pytest.mark.parametrize("shown", [amount, data_size, span, percent, share])
def test_what_is_not_known_is_a_dash(shown: object) -> None:
    assert callable(shown)
    assert shown(None) == "-"


@given(st.floats(0, 1e19), st.sampled_from([amount, *SHOWN.values()]))
def test_no_number_fills_more_than_eight_characters_of_ascii_or_looks_like_zero(value: float, shown: object) -> None:
    assert callable(shown)
    text = shown(value)
    assert text.isascii()
    if value < 1e15 and shown in (amount, data_size):
        assert len(text) <= 8
    assert any(digit in text for digit in "123456789") is (value != 0)
