"""Every command's help has the quality of a manual page, and the pages made of it are sound."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fairlead.cli.main import COMMANDS, fairlead
from fairlead.cli.man_page import page
from fairlead.cli.manual import every_command, manual_of
from fairlead.cli.reference import man_pages
from fairlead.cli.see_also import SEE_ALSO, with_see_also
from tests.needs import need

EVERY = {" ".join(words): (command, context) for words, command, context in every_command(fairlead)}
WIDTH = 100


def shown(name: str) -> str:
    command, context = EVERY[name]
    wide = click.Context(command, info_name=context.info_name, parent=context.parent, terminal_width=WIDTH)
    return command.get_help(wide)


@pytest.mark.parametrize("name", EVERY)
def test_every_command_says_what_it_does_in_a_line_that_fits_a_list(name: str) -> None:
    summary = EVERY[name][0].get_short_help_str(200)
    assert summary.endswith((".", "?"))
    assert summary[0].isupper()
    assert len(summary) <= 60
    assert manual_of(EVERY[name][0]).paragraphs, "it has no description"


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_examples_that_call_it(name: str) -> None:
    examples = manual_of(EVERY[name][0]).examples
    assert any(f"fairlead {name}" in line for line in examples)


@pytest.mark.parametrize("name", EVERY)
def test_every_command_says_what_its_exit_status_means(name: str) -> None:
    statuses = dict(manual_of(EVERY[name][0]).statuses)
    assert "0" in statuses or "COMMAND's own" in " ".join(statuses)
    assert all(meaning for status, meaning in statuses.items() if status.isdigit())


@pytest.mark.parametrize("name", EVERY)
def test_every_option_says_what_it_means_and_what_holds_without_it(name: str) -> None:
    command, context = EVERY[name]
    for option in command.get_params(context):
        if not isinstance(option, click.Option):
            continue
        assert option.help, f"{option.opts} has no help"
        says = option.get_help_record(context)
        assert says is not None
        told = "default" in says[1].lower() or option.is_flag or option.to_info_dict()["default"] in (None, (), "")
        assert told, f"{option.opts} does not tell its default"


@pytest.mark.parametrize("name", EVERY)
def test_no_line_of_any_help_is_wider_than_the_page(name: str) -> None:
    assert [line for line in shown(name).splitlines() if len(line) > WIDTH] == []


def test_every_command_leads_on_to_others_that_exist() -> None:
    assert set(SEE_ALSO) == set(COMMANDS)
    for name, others in SEE_ALSO.items():
        assert set(others) <= set(COMMANDS) - {name}
        assert f"See also: fairlead {others[0]}" in shown(name)


def test_what_to_see_also_is_said_once_however_often_the_command_is_asked_for() -> None:
    epilog = with_see_also("up", "An epilog.")
    assert epilog.startswith("An epilog.\n\nSee also: fairlead plan")
    assert with_see_also("up", epilog) == epilog
    assert with_see_also("unheard-of", None) == ""


def test_the_parts_of_a_help_are_told_apart() -> None:
    @click.command("x", epilog="\b\nExit status:\n  0    done,\n       all of it\n  COMMAND's own")
    def command() -> None:
        """Do it.

        \b
        Kept as
          it is.

        \b
        Examples:
          fairlead x
        """

    manual = manual_of(command)
    assert manual.summary == "Do it"
    assert manual.paragraphs == (("Do it.", False), ("Kept as\n  it is.", True))
    assert manual.examples == ("fairlead x",)
    assert manual.statuses == (("0", "done, all of it"), ("COMMAND's own", ""))


@pytest.mark.parametrize("name", man_pages())
def test_every_manual_page_has_its_sections_and_nothing_that_troff_would_obey_by_mistake(name: str) -> None:
    text = man_pages()[name]
    sections = re.findall(r"^\.SH (.+)$", text, re.MULTILINE)
    expected = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO"]
    assert [section for section in sections if section != "COMMANDS"] == expected
    requests = {line.split()[0] for line in text.splitlines() if line.startswith(".")}
    assert requests <= {".TH", ".SH", ".PP", ".TP", ".B", ".nf", ".fi"}


def test_hyphens_backslashes_and_leading_dots_are_themselves() -> None:
    @click.command("x", short_help="Do.")
    @click.option("--a-b", help=".TH is no request, nor is \\fB")
    def command(a_b: str) -> None:
        """Do.

        \b
        Examples:
          fairlead x \\
        """

    text = page(("x",), command, click.Context(command, info_name="x"))
    assert "\\fB\\-\\-a\\-b TEXT\\fR\n\\&.TH is no request, nor is \\efB\n" in text


def test_the_pages_are_written_and_typeset_without_a_warning(tmp_path: Path) -> None:
    need(shutil.which("groff"), "groff is not installed")
    made = subprocess.run(
        [sys.executable, "-m", "fairlead.cli.reference", "--man", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert len(list(tmp_path.iterdir())) == len(EVERY) + 1
    for file in tmp_path.iterdir():
        shown = subprocess.run(
            ["groff", "-ww", "-man", "-Tutf8", "-P-cbou", str(file)], capture_output=True, text=True, timeout=60
        )
        assert (shown.returncode, shown.stderr) == (0, ""), file.name
        assert "EXIT STATUS" in shown.stdout
