"""The systemd unit: every promise stands in its text, and systemd itself reads what was meant."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.cli import unit
from fairlead.cli.unit import Unit, carried, home_of, is_ours, quoted, render, with_python
from fairlead.errors import UsageError
from tests.needs import need


def a_unit(**changes: object) -> Unit:
    return Unit(**{"user": False, "python": "/opt/fairlead/bin/python", "home": "/var/lib/fairlead", **changes})  # type: ignore[arg-type]


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("user", [False, True])
def test_what_runs_outlives_the_daemon_and_the_daemon_always_comes_back(user: bool) -> None:
    found = settings(render(a_unit(user=user)))
    expected = {
        "KillMode": "process",
        "OOMPolicy": "continue",
        "Restart": "always",
        "StartLimitIntervalSec": "0",
        "Delegate": "yes",
        "TasksMax": "infinity",
        "PrivateTmp": "no",
        "LimitNOFILE": "524288",
        "RestartSec": "100ms",
        # `down --all` ends the daemon with 0, and means it.
        "RestartPreventExitStatus": "0",
    }
    assert {name: found[name] for name in expected} == {name: [value] for name, value in expected.items()}


def test_the_daemon_waits_for_one_that_holds_the_home_instead_of_being_started_over_and_over() -> None:
    assert settings(render(a_unit()))["ExecStart"] == [":/opt/fairlead/bin/python -P -m fairlead daemon --take-over 30"]


def test_the_systems_unit_waits_for_network_and_disk_and_starts_at_boot() -> None:
    found = settings(render(a_unit()))
    assert found["After"] == found["Wants"] == ["network-online.target"]
    assert found["RequiresMountsFor"] == ['"/var/lib/fairlead"']
    assert found["WantedBy"] == ["multi-user.target"]
    assert found["ConditionPathIsDirectory"] == ["/var/lib/fairlead"]


def test_a_users_unit_names_nothing_that_a_users_systemd_lacks() -> None:
    found = settings(render(a_unit(user=True)))
    assert found["WantedBy"] == ["default.target"]
    assert not {"After", "Wants", "RequiresMountsFor", "User"} & set(found)


AWKWARD = [
    "/srv/my stacks",
    "/srv/100%",
    "/srv/$HOME",
    '/srv/a"b',
    "/srv/it's",
    "/srv/back\\slash",
    "/srv/größe",
    "/srv/;#x",
]


@pytest.mark.parametrize("path", AWKWARD)
def test_a_home_is_read_back_as_it_was(path: str) -> None:
    assert home_of(render(a_unit(home=path))) == path


@pytest.mark.parametrize("path", ["/srv/new\nline", "/srv/bell\x07", "/srv/\udcff"])
def test_a_path_that_no_unit_can_say_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="cannot say"):
        render(a_unit(home=path))
    with pytest.raises(UsageError, match="cannot say"):
        render(a_unit(python=f"{path}/python"))


@pytest.mark.parametrize("path", ["/srv/ends with ", "/srv/ends\\"])
def test_a_home_whose_end_a_line_would_lose_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="ends with"):
        render(a_unit(home=path))


def test_a_value_cannot_add_a_setting() -> None:
    text = render(a_unit(environment=carried({"TZ": "UTC\nExecStartPre=/bin/rm", "PATH": '/bin"\\'})))
    assert "ExecStartPre" not in text
    assert settings(text)["Environment"] == ['"FAIRLEAD_HOME=/var/lib/fairlead"', '"PATH=/bin\\"\\\\"']


def test_a_unit_carries_no_secret() -> None:
    environment = {
        "PATH": "/bin",
        "https_proxy": "http://me:secret@proxy:3128",
        "HTTP_PROXY": "http://proxy:3128",
        "UV_INDEX_URL": "https://token@index",
        "DATABASE_URL": "postgres://x",
    }
    assert carried(environment) == {"PATH": "/bin", "HTTP_PROXY": "http://proxy:3128"}


def test_another_interpreter_changes_that_line_alone() -> None:
    text = render(a_unit(environment={"TZ": "UTC"}))
    changed = with_python(text, "/opt/new/bin/python")
    assert changed == render(a_unit(environment={"TZ": "UTC"}, python="/opt/new/bin/python"))
    assert with_python(changed, "/opt/fairlead/bin/python") == text


def test_a_unit_of_somebody_else_is_not_ours() -> None:
    text = render(a_unit())
    assert is_ours(text)
    assert not is_ours(f"# mine\n{text}")
    assert home_of(f"[Unit]\n{text}") is None


def test_quoting_leaves_nothing_that_systemd_would_expand() -> None:
    assert quoted('a "b" \\ %h') == '"a \\"b\\" \\\\ %%h"'


@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
@pytest.mark.parametrize("name", ["plain", "a b", "100%", "$HOME", "it's", 'a"b', "back\\slash", "größe"])
def test_systemd_reads_the_unit_without_a_word(tmp_path: Path, name: str, user: bool) -> None:
    folder = tmp_path / name
    folder.mkdir()
    python = folder / "python"
    python.symlink_to(os.path.realpath(sys.executable))
    assert verified(tmp_path, a_unit(user=user, python=str(python), home=str(folder), environment={"TZ": "UTC"})) == []


def test_systemd_would_have_said_that_the_program_is_not_there(tmp_path: Path) -> None:
    said = verified(tmp_path, a_unit(python=f"{tmp_path}/my $PYTHON 100%"))
    assert any(f"{tmp_path}/my $PYTHON 100% is not executable" in line for line in said), said


def verified(folder: Path, described: Unit) -> list[str]:
    """What `systemd-analyze verify` says of the unit; it also reads the machine's own, and what it says of those is cut."""
    analyze = shutil.which("systemd-analyze")
    need(analyze, "systemd-analyze (package systemd) is not installed")
    file = folder / unit.NAME
    file.write_text(render(described))
    words = [str(analyze), "verify", *(["--user"] if described.user else []), "--man=no", str(file)]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "SYSTEMD_LOG_LEVEL": "warning"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
    return [line for line in (done.stdout + done.stderr).splitlines() if re.search(r"fairlead\.service", line)]
