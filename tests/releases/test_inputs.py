"""What a source says about its dependencies, read without running anything."""

from __future__ import annotations

import pytest

from fairlead.errors import BuildError
from fairlead.releases.environment import environment_key
from fairlead.releases.inputs import DependencyInputs, dependency_inputs
from fairlead.releases.interpreter import Interpreter

PYPROJECT = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["flask"]\n'
PACKAGE = PYPROJECT + '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
LOCK = 'version = 1\n[[package]]\nname = "shop"\nsource = { virtual = "." }\n'
PYTHON = Interpreter("/usr/bin/python3.11", "3.11.2")


def inputs(files: dict[str, str]) -> DependencyInputs | None:
    return dependency_inputs(files, lambda name: files[name].encode())


def surely(files: dict[str, str]) -> DependencyInputs:
    found = inputs(files)
    assert found is not None
    return found


def names(files: dict[str, str]) -> tuple[str, ...]:
    return tuple(name for name, _ in surely(files).files)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"uv.lock": LOCK, "requirements.txt": "", "pyproject.toml": PYPROJECT}, "uv.lock"),
        ({"requirements.txt": "", "pyproject.toml": PYPROJECT}, "requirements.txt"),
        ({"pyproject.toml": PYPROJECT}, "pyproject.toml"),
        ({"pyproject.toml": "not toml"}, "pyproject.toml"),
        ({"pyproject.toml": "[tool.ruff]\nline-length = 100\n"}, None),
        ({"app.py": "", "setup.py": ""}, None),
    ],
)
def test_the_lock_counts_before_requirements_before_the_project(files: dict[str, str], kind: str | None) -> None:
    found = inputs(files)
    assert (found.kind if found else None) == kind


def test_requirements_include_the_files_they_include() -> None:
    files = {
        "requirements.txt": "-r more/base.txt\n--constraint=pins.txt  # why\nflask\n",
        "more/base.txt": "-c ../pins.txt\n-rdeep.txt\n",
        "more/deep.txt": "-r ../requirements.txt\n",
        "pins.txt": "flask==3.0.3\n",
        "other.txt": "",
    }
    assert names(files) == ("more/base.txt", "more/deep.txt", "pins.txt", "requirements.txt")


def test_a_requirements_file_that_is_missing_or_elsewhere_is_left_for_uv_to_report() -> None:
    assert names({"requirements.txt": "-r missing.txt\n-r https://example.com/r.txt\n"}) == ("requirements.txt",)


def test_settings_of_uv_belong_to_the_inputs() -> None:
    tool = "[tool.uv]\nindex-url = 'https://example.com/simple'\n"
    assert names({"requirements.txt": "", "uv.toml": "", "pyproject.toml": tool}) == (
        *("pyproject.toml", "requirements.txt", "uv.toml"),
    )
    assert names({"requirements.txt": "", "pyproject.toml": PYPROJECT}) == ("requirements.txt",)


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("flask>=3", False),
        ("shop @ git+https://example.com/shop.git", False),
        ("-e git+ssh://git@example.com/shop.git", False),
        ("shop @ https://example.com/shop-1.0.whl", False),
        ("--index-url https://example.com/simple", False),
        ("# ./lib", False),
        ("-e .", True),
        ("--editable=./lib", True),
        ("./lib", True),
        (".[extra]", True),
        ("wheels/shop-1.0-py3-none-any.whl", True),
        ("shop @ file:lib", True),
        ("shop @ ./lib", True),
        ("--find-links ./wheels", True),
    ],
)
def test_a_requirement_that_is_a_path_of_the_source_is_seen(line: str, local: bool) -> None:
    assert surely({"requirements.txt": f"{line}\n"}).local is local


@pytest.mark.parametrize(
    ("line", "exact"),
    [
        ("flask==3.0.3", True),
        ("uvicorn[standard]==0.30 ; python_version > '3.8'", True),
        ("flask==3.0.3 --hash=sha256:aa", True),
        ("flask==3.0.3 \\\n    --hash=sha256:aa", True),
        ("flask==3.*", False),
        ("flask>=3", False),
        ("flask", False),
        ("flask==3.0.3\nrequests", False),
    ],
)
def test_only_pinned_requirements_are_exact(line: str, exact: bool) -> None:
    assert surely({"requirements.txt": f"{line}\n"}).exact is exact


@pytest.mark.parametrize("text", ["-r ../base.txt", "-r /etc/base.txt", "../lib", "-e ../lib"])
def test_a_requirement_outside_the_source_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="which lies outside the source"):
        inputs({"requirements.txt": text})


def test_a_project_with_a_src_folder_is_installed_itself() -> None:
    plain, packaged = (
        {"pyproject.toml": PACKAGE, "shop.py": ""},
        {"pyproject.toml": PACKAGE, "src/shop/__init__.py": ""},
    )
    assert not surely(plain).project
    assert surely(packaged).project
    assert surely(packaged).local
    assert surely({**packaged, "uv.lock": LOCK}).project


@pytest.mark.parametrize(
    ("entry", "local"),
    [
        ('source = { virtual = "." }', False),
        ('source = { editable = "." }', False),
        ('source = { registry = "https://example.com/simple" }', False),
        ('source = { directory = "lib" }', True),
        ('source = { editable = "packages/core" }', True),
        ('source = { virtual = "packages/core" }', True),
        ('source = { path = "wheels/x.whl" }', True),
    ],
)
def test_a_lock_that_names_folders_of_the_source_is_local(entry: str, local: bool) -> None:
    lock = f'version = 1\n[[package]]\nname = "x"\n{entry}\n'
    assert surely({"uv.lock": lock, "pyproject.toml": PYPROJECT}).local is local


def test_a_project_whose_dependencies_are_computed_or_paths_is_local() -> None:
    dynamic = '[project]\nname = "x"\ndynamic = ["dependencies"]\n'
    sources = PYPROJECT + '[tool.uv.sources]\nflask = { path = "lib" }\n'
    assert [surely({"pyproject.toml": text}).local for text in (PYPROJECT, dynamic, sources)] == [False, True, True]


# --- the environment's name -------------------------------------------------------------------------------------------


def test_the_source_is_part_of_the_name_only_where_it_is_installed() -> None:
    plain, local = surely({"requirements.txt": "flask\n"}), surely({"requirements.txt": "-e .\n"})
    assert environment_key(plain, PYTHON, "one") == environment_key(plain, PYTHON, "two")
    assert environment_key(local, PYTHON, "one") != environment_key(local, PYTHON, "two")


def test_inputs_and_interpreter_change_the_name() -> None:
    keys = {
        environment_key(None, PYTHON, ""),
        environment_key(surely({"requirements.txt": "flask\n"}), PYTHON, ""),
        environment_key(surely({"requirements.txt": "flask \n"}), PYTHON, ""),
        environment_key(surely({"requirements.txt": "flask\n"}), Interpreter(PYTHON.path, "3.11.9"), ""),
        environment_key(surely({"requirements.txt": "flask\n"}), Interpreter("/opt/python3.11", "3.11.2"), ""),
        environment_key(surely({"requirements.txt": "-r b.txt", "b.txt": "flask\n"}), PYTHON, ""),
    }
    assert len(keys) == 6
