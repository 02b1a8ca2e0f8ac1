"""The documents fail the build when they lie."""

from __future__ import annotations

import ast
import re
import subprocess
import tempfile
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.cli.main import COMMANDS
from fairlead.cli.status_table import HEADINGS
from fairlead.core.model import Service
from fairlead.spec import read

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def event_kinds() -> set[str]:
    """Every kind that the code gives an event: the literal arguments of `event`, `_tell`, `_mark` and `_save`."""
    kinds = set()
    for path in [*(ROOT / "src/fairlead/control").glob("*.py"), ROOT / "src/fairlead/wiring.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            position = {"event": 1, "_tell": 0, "_mark": 1, "_save": 1}.get(node.func.attr)
            if position is None or len(node.args) <= position:
                continue
            argument = node.args[position]
            either = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
            kinds.update(str(one.value) for one in either if isinstance(one, ast.Constant))
    # The one place that passes a target's health on as the kind.
    return kinds | {"healthy", "unhealthy"}


def test_every_event_is_documented_and_every_documented_event_exists() -> None:
    page = (ROOT / "docs/reference/events.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == event_kinds()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    for words in re.findall(r"`(?:\.venv/bin/)?fairlead ([a-z]+)", page.read_text(encoding="utf-8")):
        assert words in COMMANDS, f"{page.name} names `fairlead {words}`"


def test_nobody_is_sent_to_what_pypi_has_under_our_name() -> None:
    """It is another program. A folder (`./fairlead`) is ours; so is the environment that pipx calls by that name."""
    installs = re.compile(
        r"(?:pip|pipx|uv|uv tool) (?:install|upgrade|run)(?: [^`|&;(\n]*?)? [\"']?fairlead\b(?!\.)|uvx fairlead"
    )
    for wrong in ("pip install --upgrade fairlead", 'pip install "fairlead[s3]"', "pipx install fairlead"):
        assert installs.search(wrong)
    for page in (*PAGES, *(ROOT / "src").rglob("*.py")):
        assert not (found := installs.search(page.read_text(encoding="utf-8"))), f"{page}: {found and found[0]}"


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"^make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"


def test_the_file_that_the_readme_shows_is_one_this_version_runs() -> None:
    shown = re.search(r"```yaml\n(.+?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fairlead.yaml"
        file.write_text(shown[1], encoding="utf-8")
        assert [service.desired for service in read(str(file), env={}).services] == [2]


def test_the_status_that_the_readme_shows_has_the_columns_of_today() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    heading = next(line for line in lines if line.split()[:2] == ["INSTANCE", "STATE"])
    assert tuple(heading.split()) == HEADINGS
    for line in lines[lines.index(heading) + 1 : lines.index(heading) + 3]:
        # Each column begins below its heading, so the block was not aligned by hand.
        assert all(line[heading.index(name) - 1] == " " != line[heading.index(name)] for name in HEADINGS)


@pytest.mark.parametrize("page", sorted((ROOT / "docs/guide").glob("*.md")), ids=lambda path: path.name)
def test_every_instance_that_a_guide_shows_has_the_columns_of_today(page: Path) -> None:
    columns = len(HEADINGS)
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if cells[0] == "```":
            columns = len(HEADINGS)
        elif cells[:2] == ["INSTANCE", "STATE"]:
            assert set(cells) <= set(HEADINGS)
            columns = len(cells)
        elif len(cells) > 6 and cells[1] in ("in_service", "pending", "warm", "terminating"):
            assert len(cells) == columns, line


def test_the_notice_names_every_package_that_fairlead_installs() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8").lower()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in (*project["dependencies"], "granian"):
        name = re.match(r"[\w-]+", requirement)
        assert name
        assert re.search(rf"\b{name[0]}\b", notice), f"NOTICE does not name {name[0]}"


EXAMPLES = sorted((ROOT / "examples").rglob("fairlead*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT / "examples")))
def test_every_example_is_a_file_this_version_runs(file: Path) -> None:
    # fairlead.uwsgi.yaml beside it is a variant: the same stack, run in another way.
    variant = file.stem.removeprefix("fairlead").replace(".", "-")
    assert read(str(file), env={}).name == file.parent.name + variant


@pytest.mark.parametrize("file", [one for one in EXAMPLES if one.name != "fairlead.yaml"], ids=lambda path: path.name)
def test_a_variant_of_an_example_differs_only_in_what_it_runs(file: Path) -> None:
    one, other = (read(str(path), env={}) for path in (file, file.with_name("fairlead.yaml")))
    assert [without_engines(service) for service in one.services] == [
        without_engines(service) for service in other.services
    ]
    assert one.listeners == other.listeners


def without_engines(service: Service) -> Service:
    """But for its program, and which database it is told to speak to."""
    told = {name: "" if value in ("postgres", "mysql") else value for name, value in service.environment.items()}
    return replace(service, program=None, environment=told)  # type: ignore[arg-type]


def test_the_layers_of_the_architecture_page_are_those_of_the_import_rules() -> None:
    rules = (ROOT / ".importlinter").read_text(encoding="utf-8")
    layers = re.search(r"^layers =\n((?:    .+\n)+)", rules, re.MULTILINE)
    assert layers
    folders = set(re.findall(r"\w+", layers[1]))
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert folders <= set(re.findall(r"^- \*\*(\w+)\*\*:", page, re.MULTILINE))


def test_nothing_that_git_tracks_is_generated() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    if listed.returncode == 0:
        assert not [name for name in listed.stdout.splitlines() if name.endswith((".pyc", ".log", ".db"))]


@pytest.mark.parametrize("folder", ["decisions", "guide", "internals"])
def test_the_list_of_a_folder_names_every_page_of_it(folder: str) -> None:
    pages = {page.name for page in (ROOT / "docs" / folder).glob("*.md")} - {"README.md"}
    listed = (ROOT / "docs" / folder / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[.+?\]\(([^)]+)\) \|", listed, re.MULTILINE)) == pages
