"""What the guides tell a stranger to type exists: commands with their options, whole files, and the ways between pages."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click
import pytest
import yaml

from fairlead.cli.main import fairlead as program
from fairlead.spec import parse_text

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs/guide").glob("*.md"))
TYPED = [*GUIDES, ROOT / "README.md", *sorted((ROOT / "examples").glob("*/README.md"))]
BETWEEN = ("&&", "||", "|", ";", "&", "(", ")")
"""Words that end one command of a line."""


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)


def commands_of(line: str) -> Iterator[list[str]]:
    """The words after `fairlead`, of each time that a line of a shell runs it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();&|")
    lexer.whitespace_split = True
    command: list[str] = []
    for word in [*lexer, ";"]:
        if word not in BETWEEN:
            command.append(word)
            continue
        # Before the program may stand variables, sudo, and where it lies.
        at = next((index for index, one in enumerate(command) if "=" not in one and one != "sudo"), len(command))
        if command[at : at + 1] and Path(command[at]).name == "fairlead":
            yield command[at + 1 :]
        command = []


def typed(page: Path) -> list[list[str]]:
    """Every `fairlead ...` that a page shows: in its shell blocks, and in the running text."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    running = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += [" ".join(span.split()) for span in re.findall(r"`((?:\S*/)?fairlead [^`]+)`", running)]
    return [words for line in lines if "fairlead" in line for words in commands_of(line)]


def parse(command: click.Command, name: str, words: Sequence[str], parent: click.Context | None = None) -> None:
    """Read `words` as Click would, and run nothing. click.UsageError when a command, an option or a value is wrong."""
    context = click.Context(command, info_name=name, parent=parent)
    if not isinstance(command, click.Group):
        with suppress(click.exceptions.Exit):  # --help
            command.make_context(name, list(words), parent=parent)
        return
    _, rest, _ = command.make_parser(context).parse_args(list(words))
    if rest:
        _, below, left = command.resolve_command(context, rest)
        assert below is not None
        parse(below, rest[0], left, context)


@pytest.mark.parametrize("page", TYPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_line_of_a_page_is_one_that_fairlead_reads(page: Path) -> None:
    for words in typed(page):
        try:
            parse(program, "fairlead", words)
        except click.UsageError as error:
            pytest.fail(f"fairlead {shlex.join(words)}: {error.format_message()}")


@pytest.mark.parametrize("wrong", ["fairlead scael web 2", "fairlead up --forse", "fairlead scale", "fairlead jobs go"])
def test_a_command_line_that_is_wrong_is_found(wrong: str) -> None:
    (words,) = commands_of(f"sudo PORT=80 {wrong}   # a comment")
    with pytest.raises(click.UsageError):
        parse(program, "fairlead", words)


def test_every_guide_shows_commands() -> None:
    assert len(GUIDES) > 5
    assert [guide.name for guide in GUIDES if guide.name != "README.md" and len(typed(guide)) < 4] == []


FILES = [
    pytest.param(block, id=f"{guide.stem}-{number}")
    for guide in GUIDES
    for number, block in enumerate(blocks(guide, "yaml"))
    if block.startswith("name:")
]


@pytest.mark.parametrize("block", FILES)
def test_every_whole_file_of_a_guide_is_one_this_version_runs(block: str) -> None:
    environment = dict.fromkeys(re.findall(r"\$\{env\.(\w+)\}", block), "x")
    assert parse_text(block, "fairlead.yaml", environment).services


PARTS = [
    pytest.param(block, id=f"{guide.stem}-{number}")
    for guide in GUIDES
    for number, block in enumerate(blocks(guide, "yaml"))
    if not block.startswith("name:")
]


@pytest.mark.parametrize("block", PARTS)
def test_every_part_of_a_file_that_a_guide_shows_is_one_this_version_runs(block: str) -> None:
    parts = yaml.safe_load(block)
    used = set(re.findall(r"(?:forward|service): (\w+)", block))
    environment = dict.fromkeys(re.findall(r"\$\{env\.(\w+)\}", block), "https://x.test")
    parts.setdefault("services", {name: {"app": "app:app"} for name in sorted(used) or ["web"]})
    assert parse_text(yaml.safe_dump({"name": "part", **parts}), "fairlead.yaml", environment).services


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_a_guide_ends_with_where_to_go_next_and_the_list_names_it(guide: Path) -> None:
    if guide.name == "README.md":
        return
    headings = re.findall(r"^## (.+)$", guide.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[-1] == "Where to go next"
    assert f"({guide.name})" in (ROOT / "docs/guide/README.md").read_text(encoding="utf-8")


def test_every_anchor_that_a_guide_links_to_is_a_heading() -> None:
    for guide in GUIDES:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", guide.read_text(encoding="utf-8")):
            text = (guide.parent / target if target else guide).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_the_guide_of_the_load_balancer_names_every_key_of_it() -> None:
    schema = json.loads((ROOT / "docs/reference/fairlead.schema.json").read_text(encoding="utf-8"))["properties"]
    service = schema["services"]["additionalProperties"]["properties"]
    listener = schema["load_balancer"]["properties"]["listeners"]["items"]["properties"]
    parts = [schema["load_balancer"], service["target_group"], listener["rules"]["items"]["properties"]["when"]]
    keys = {*listener, *(key for part in parts for key in part["properties"])}
    text = (ROOT / "docs/guide/load-balancer.md").read_text(encoding="utf-8")
    assert len(keys) > 20
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", text)] == []
