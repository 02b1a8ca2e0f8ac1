"""Files of gzip members that a reader hops over."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from fairlead.aiokit.packed import Packed, packed


def test_members_are_found_without_unpacking_those_before(tmp_path: Path) -> None:
    blocks = [os.urandom(700), b"a" * 5000, b"z"]
    path = tmp_path / "a.gz"
    path.write_bytes(b"".join(map(packed, blocks)))
    with Packed(str(path)) as file:
        assert [(one.begin, one.end) for one in file.members] == [(0, 700), (700, 5700), (5700, 5701)]
        assert [file.unpack(one) for one in file.members] == blocks
        assert file.unpack(file.members[1], 10) == b"a" * 10


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b\x08\x00 and so on, without a length", b"x" * 100])
def test_what_is_no_such_file_is_an_error_that_names_it(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(packed(b"abc" * 1000)[:-5] + damage)
    with pytest.raises(OSError, match=r"damaged.*a\.gz"), Packed(str(path)) as file:
        file.unpack(file.members[0])


def test_every_gzip_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(packed(b"one\n") + packed(b"two\n"))
    assert gzip.decompress(path.read_bytes()) == b"one\ntwo\n"


def test_a_file_of_somebody_elses_gzip_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"one\n" * 1000))
    with pytest.raises(OSError, match="damaged"):
        Packed(str(path))
