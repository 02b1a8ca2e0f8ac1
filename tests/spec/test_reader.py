"""From the disk to a stack."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.core.model import Certificate
from fairlead.errors import SpecError
from fairlead.spec import read
from fairlead.spec.problems import MOST
from fairlead.spec.reader import LARGEST
from tests.spec.builders import a_service, error_of


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o711)
        yield Path(path)


def a_file(folder: Path, text: str | bytes, name: str = "fairlead.yaml") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def error_at(path: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        read(path, env={})
    return caught.value


def test_a_file_is_read_with_its_sources_made_absolute(folder: Path) -> None:
    (folder / "app").mkdir()
    stack = read(a_file(folder, a_service("source: app\ninstances: ${env.N}")), env={}, dotenv="N=2")
    assert (stack.path, stack.services[0].source) == (f"{folder}/fairlead.yaml", f"{folder}/app")
    assert stack.services[0].desired == 2


def test_a_source_that_is_not_there_is_a_problem_among_the_others(folder: Path) -> None:
    (folder / "file").write_text("")
    text = a_service("source: nowhere\nthreads: 0") + "  b: {command: x, source: file}\n  c: {command: x}\n"
    text += (
        "load_balancer: {listeners: ["
        + ", ".join(f"{{port: {p}, default: {{forward: {s}}}}}" for p, s in ((1, "web"), (2, "b"), (3, "c")))
        + "]}"
    )
    assert list(error_at(a_file(folder, text)).problems) == [
        f'fairlead.yaml:5:13: services.web.source: the folder "{folder}/nowhere" does not exist; '
        "write a folder, relative to the file's own",
        "fairlead.yaml:6:14: services.web.threads: must be from 1 to 1000, not 0",
        f'fairlead.yaml:7:27: services.b.source: the folder "{folder}/file" is not a folder; '
        "write a folder, relative to the file's own",
    ]


@pytest.mark.parametrize("source", ["''", "[a]", '"a\\0b"', "${env.NOWHERE}"])
def test_a_source_that_is_no_path_has_one_problem(folder: Path, source: str) -> None:
    assert len(error_at(a_file(folder, a_service(f"source: {source}"))).problems) == 1


def test_files_of_certificates_that_cannot_be_read_are_problems_among_the_others(folder: Path) -> None:
    (folder / "cert.pem").write_text("")
    (folder / "sub").mkdir()
    os.symlink("loop", folder / "loop")
    text = a_service("threads: 0") + (
        "load_balancer:\n  listeners:\n    - port: 443\n      protocol: HTTPS\n      certificates:\n"
        "        - {file: cert.pem, key: key.pem}\n        - {file: sub, key: loop}\n      default: {forward: web}\n"
    )
    advice = "name a PEM file, relative to this one's folder, that the daemon's user may read"
    above = "load_balancer.listeners.0.certificates"
    assert list(error_at(a_file(folder, text)).problems) == [
        "fairlead.yaml:5:14: services.web.threads: must be from 1 to 1000, not 0",
        f'fairlead.yaml:11:33: {above}.0.key: the file "{folder}/key.pem" does not exist; {advice}',
        f'fairlead.yaml:12:18: {above}.1.file: the file "{folder}/sub" is not a file; {advice}',
        f'fairlead.yaml:12:28: {above}.1.key: the file "{folder}/loop" cannot be read: Too many levels of symbolic links; '
        + advice,
    ]


@pytest.mark.parametrize("path", ["''", "[a]", '"a\\0b"', "${env.NOWHERE}"])
def test_a_certificate_that_is_no_path_has_one_problem(folder: Path, path: str) -> None:
    (folder / "key.pem").write_text("")
    text = a_service() + (
        "load_balancer:\n  listeners:\n    - port: 443\n      protocol: HTTPS\n      certificates:\n"
        f"        - file: {path}\n          key: key.pem\n      default: {{forward: web}}\n"
    )
    assert len(error_at(a_file(folder, text)).problems) == 1


def test_certificates_that_can_be_read_are_named_absolutely(folder: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (folder / name).write_text("")
    text = a_service() + (
        "load_balancer:\n  listeners:\n    - port: 443\n      protocol: HTTPS\n      certificates:\n"
        f"        - {{file: cert.pem, key: {folder}/sub/../key.pem}}\n      default: {{forward: web}}\n"
    )
    (listener,) = read(a_file(folder, text), env={}).listeners
    assert listener.certificates == (Certificate(file=f"{folder}/cert.pem", key=f"{folder}/key.pem"),)


def test_a_file_that_is_not_there(folder: Path) -> None:
    error = error_at(f"{folder}/fairlead.yaml")
    assert error.what == f"there is no file {folder}/fairlead.yaml"
    assert "fairlead up PATH" in error.next_step


def test_a_folder_a_fifo_and_a_file_without_rights_are_not_read(folder: Path) -> None:
    assert error_at(str(folder)).what == f"{folder} is a folder, not a file"
    os.mkfifo(folder / "pipe")
    assert error_at(f"{folder}/pipe").what == f"{folder}/pipe is not a file"
    assert "cannot be read" in error_at(f"{folder}/a\0b").what
    assert "cannot be read: Not a directory" in error_at(a_file(folder, "") + "/x").what


def test_a_file_that_is_too_large_is_not_read(folder: Path) -> None:
    path = a_file(folder, "#" * (LARGEST + 1))
    assert error_at(path).what == f"{path} is larger than {LARGEST} bytes"
    assert error_of(a_service(), dotenv="#" * (LARGEST + 1)).problems == (
        f".env: is larger than {LARGEST} characters; keep only variables in it",
    )


def test_a_file_that_is_not_utf_8_is_refused_at_the_place_of_the_first_wrong_byte(folder: Path) -> None:
    error = error_at(a_file(folder, "name: shop\n# é: ".encode() + b"\xff\n"))
    assert error.problems == ("fairlead.yaml:2:6: is not UTF-8; save the file as UTF-8",)


def test_problems_bear_the_file_s_own_name_and_no_control_characters(folder: Path) -> None:
    error = error_at(a_file(folder, a_service("threads: 0"), name="other\x1b.yaml"))
    assert error.problems == (r"other\x1b.yaml:5:14: services.web.threads: must be from 1 to 1000, not 0",)
    assert error.what == r"other\x1b.yaml has a problem"


def test_very_many_problems_are_counted_instead_of_shown() -> None:
    text = a_service() + "".join(f"key{number}: 1\n" for number in range(MOST + 50))
    error = error_of(text)
    assert error.what == f"fairlead.yaml has {MOST + 50} problems"
    assert (len(error.problems), error.problems[-1]) == (MOST + 1, "and 50 more")


def test_a_daemon_that_reads_no_file_pays_nothing_for_reading() -> None:
    code = "import sys, fairlead.spec; print([name for name in ('pydantic', 'yaml') if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout == "[]\n"
