"""Files are read again when they have changed, and only then; what is wrong with them is told."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.certificates import watched
from fairlead.certificates.pair import Understood, understand
from fairlead.certificates.watched import LARGEST, Watched
from fairlead.core.model import Certificate
from fairlead.errors import CertificateError
from tests.certificates.builders import DAY, files, made, put

Parsed = list[str]
"""One entry for each time that the files were parsed."""


def watching(pair: Certificate, parsed: Parsed | None = None) -> Watched:
    def counting(certificate: bytes, key: bytes, file: str, key_file: str) -> Understood:
        if parsed is not None:
            parsed.append(file)
        return understand(certificate, key, file, key_file)

    return Watched(pair, counting)


def problem_of(one: Watched) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        one.read()
    return caught.value


def test_files_that_have_not_changed_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "YOUNG", 0.0)
    parsed: Parsed = []
    one = watching(files(tmp_path, made("shop.test")), parsed)
    first = one.read()
    assert [one.read() for _ in range(3)] == [first] * 3
    assert len(parsed) == 1


def test_files_that_are_so_young_that_they_may_change_unseen_are_read_again(tmp_path: Path) -> None:
    parsed: Parsed = []
    one = watching(files(tmp_path, made("shop.test")), parsed)
    one.read()
    one.read()
    assert len(parsed) == 2


def test_a_change_in_place_within_one_time_stamp_is_seen(tmp_path: Path) -> None:
    old, new = made("shop.test"), made("shop.test")
    pair = files(tmp_path, old)
    before, one = os.stat(pair.file), watching(pair)
    first = one.read()
    Path(pair.file).write_bytes(new.pem)
    Path(pair.key).write_bytes(new.key_pem())
    os.utime(pair.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert one.read() != first


def test_half_of_a_renewal_is_told_and_the_whole_is_taken(tmp_path: Path) -> None:
    old, new = made("shop.test"), made("shop.test")
    one = watching(files(tmp_path, old))
    one.read()
    put(tmp_path / "shop.pem", new.pem)
    assert "do not belong together" in problem_of(one).what
    put(tmp_path / "shop.key", new.key_pem())
    assert new.pem.decode() in one.read().text


def test_a_file_that_is_being_written_is_told_and_the_whole_is_taken(tmp_path: Path) -> None:
    one = watching(files(tmp_path, made("shop.test")))
    one.read()
    new = made("shop.test")
    put(tmp_path / "shop.key", new.key_pem())
    (tmp_path / "shop.pem").write_bytes(new.pem[: len(new.pem) // 2])
    assert "shop.pem" in problem_of(one).what
    with open(tmp_path / "shop.pem", "ab") as file:
        file.write(new.pem[len(new.pem) // 2 :])
    assert new.pem.decode() in one.read().text


def test_links_that_are_turned_to_another_folder_are_followed(tmp_path: Path) -> None:
    """As certbot does it: live/NAME/fullchain.pem -> ../../archive/NAME/fullchain2.pem."""
    for name, one in (("1", made("one.test")), ("2", made("two.test"))):
        (tmp_path / name).mkdir()
        files(tmp_path / name, one)
    live = tmp_path / "live"
    live.symlink_to(tmp_path / "1")
    pair = files(tmp_path / "1", made("one.test"))
    link = watching(type(pair)(file=str(live / "shop.pem"), key=str(live / "shop.key")))
    assert link.read().names == ("one.test",)
    (tmp_path / "next").symlink_to(tmp_path / "2")
    os.replace(tmp_path / "next", live)
    assert link.read().names == ("two.test",)


def test_one_that_is_not_valid_yet_is_refused_until_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "YOUNG", 0.0)
    one = watching(files(tmp_path, made("shop.test", begins=DAY)))
    assert "not valid yet" in problem_of(one).what

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.fromtimestamp(time.time() + 2 * 86_400, UTC)

    monkeypatch.setattr(watched, "datetime", Tomorrow)
    assert one.read().names == ("shop.test",)


def test_a_missing_file_is_told_and_found_when_it_is_there(tmp_path: Path) -> None:
    leaf = made("shop.test")
    pair = files(tmp_path, leaf)
    os.unlink(pair.key)
    one = watching(pair)
    assert problem_of(one).sentence == f"{pair.key} cannot be read: No such file or directory"
    put(Path(pair.key), leaf.key_pem())
    assert one.read().names == ("shop.test",)


def test_what_is_no_file_or_too_large_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    pair = files(tmp_path, made("shop.test"))
    os.unlink(pair.key)
    os.mkfifo(pair.key)
    assert "it is no file" in problem_of(watching(pair)).why
    os.unlink(pair.key)
    Path(pair.key).write_bytes(b" " * (LARGEST + 1))
    assert "more than" in problem_of(watching(pair)).why
    os.unlink(pair.key)
    os.mkdir(pair.key)
    assert pair.key in problem_of(watching(pair)).what


def test_a_key_that_may_not_be_read_is_told_with_who_must_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, real = files(tmp_path, made("shop.test")), os.open

    def refusing(path: str, flags: int, *more: int, **named: int) -> int:
        if path == pair.key:
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, *more, **named)

    monkeypatch.setattr(watched.os, "open", refusing)
    problem = problem_of(watching(pair))
    assert problem.sentence == f"{pair.key} cannot be read: Permission denied"
    assert "fairlead runs as" in problem.next_step
