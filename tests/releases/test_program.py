"""Whether the program of a `command:` is there: refused before a launch, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.errors import BuildError
from fairlead.releases.program import check_program
from tests.releases.builders import a_tree

SYSTEM = "/usr/bin:/bin"
PLACE = "fairlead.yaml:4:14"


def check(word: str, source: Path, variables: dict[str, str] | None = None) -> None:
    check_program(word, source=str(source), search=SYSTEM, variables=variables or {}, place=PLACE)


def a_script(source: Path, text: str, mode: int = 0o755) -> Path:
    a_tree(source, {"serve.sh": text})
    (source / "serve.sh").chmod(mode)
    return source


@pytest.mark.parametrize("word", ["sh", "/bin/sh", "./serve.sh", "${env}", "./${instance.id}"])
def test_what_is_there_or_cannot_be_told_is_accepted(source: Path, word: str) -> None:
    check(word, a_script(source, "#!/bin/sh\n"))


@pytest.mark.parametrize("text", ["echo", "#!/usr/bin/env python3\n", "#! /bin/sh -e\n", "\x7fELF", "", "#!"])
def test_what_only_the_kernel_can_judge_is_left_to_it(source: Path, text: str) -> None:
    check("./serve.sh", a_script(source, text))


def test_the_services_own_path_is_searched_instead(source: Path) -> None:
    a_tree(source, {"tools/mine": ""})
    check("mine", source, {"PATH": "tools:/bin"})
    with pytest.raises(BuildError, match=r"no such program in /nowhere"):
        check("sh", source, {"PATH": "/nowhere"})


@pytest.mark.parametrize(
    ("word", "text", "mode", "why", "mend"),
    [
        ("no-such-program", "", 0o755, "there is no such program in /usr/bin, /bin", "install it there"),
        ("serve.sh", "", 0o755, "there is no such program", "write ./serve.sh"),
        ("./absent", "", 0o755, "the source has no such file", ".gitignore"),
        ("/no/such/program", "", 0o755, "there is no such file", ""),
        ("./", "", 0o755, "it is a folder", "name a program in it"),
        ("./serve.sh", "", 0o644, "it is not executable", "chmod +x ./serve.sh"),
        ("./serve.sh", "#!/bin/sh\r\n", 0o755, "ends as on Windows", "line ends of Unix"),
        ("./serve.sh", "#!/usr/bin/env python3\r\n", 0o755, "ends as on Windows", "line ends of Unix"),
        ("./serve.sh", "#!/no/python\n", 0o755, "its first line names /no/python, which is not there", "install"),
    ],
)
def test_what_cannot_run_is_refused_at_its_place_with_a_way_out(
    source: Path, word: str, text: str, mode: int, why: str, mend: str
) -> None:
    with pytest.raises(BuildError) as caught:
        check(word, a_script(source, text, mode))
    assert (caught.value.place, caught.value.what) == (PLACE, f"cannot run {word}")
    assert why in caught.value.why
    assert mend in caught.value.next_step
