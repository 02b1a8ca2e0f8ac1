"""`fairlead secret`: how a value comes in, which stack is meant, what is printed; and that no value ever is."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fairlead.api.client import Client
from fairlead.core.layout import Layout
from fairlead.errors import DaemonUnavailable, UsageError
from fairlead.store.database import Store
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, Request, Scripted, Stream, a_stack, serving, status_of
from tests.cli.terminal import Terminal, fairlead_argv
from tests.cli.test_completion import answers, keep

PLANTED = "s3cr3t-pl4nted"
NONE_UP = {"GET /status": status_of()}


def kept(stack: str = "shop", name: str = "TOKEN", **changes: Any) -> dict[str, Any]:
    """The answer to a PUT."""
    text = f"{name} of {stack} is set"
    return {"stack": stack, "name": name, "changed": True, "removed": [], "outdated": [], "text": text, **changes}


PUT = {**NONE_UP, "PUT /stacks/shop/secrets/TOKEN": kept()}


def requests(daemon: Scripted) -> list[Request]:
    """What was asked, but for what a daemon is asked that the command started for itself: this one holds no lock."""
    return [one for one in daemon.asked if one.path not in ("/version", "/leave")]


def paths(daemon: Scripted) -> list[str]:
    return [f"{one.method} {one.path}" for one in requests(daemon)]


def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def in_folder_of(stack: str, text: str = "name: {}\n") -> None:
    Path("fairlead.yaml").write_text(text.format(stack))


class TestSet:
    @pytest.mark.parametrize("content", [b"s3cr3t-pl4nted\n", b"two\nlines\n", "€ \ufeff".encode(), b""])
    def test_all_of_stdin_is_the_value_as_it_is(
        self, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch, content: bytes
    ) -> None:
        piped(monkeypatch, content)
        with serving(home, PUT) as daemon:
            shown = fairlead("secret", "set", "TOKEN", "--stack", "shop")
        assert requests(daemon)[-1].body == {"value": content.decode()}
        assert (shown.status, shown.out) == (0, "")
        assert shown.err.splitlines() == [
            "TOKEN of shop is set",
            "next: fairlead up PATH  |  fairlead secret list --stack shop",
        ]

    def test_a_file_is_the_value(self, fairlead: Fairlead, home: Layout, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(f"{PLANTED}\n")
        with serving(home, PUT) as daemon:
            assert fairlead("secret", "set", "TOKEN", "--stack", "shop", "--file", str(tmp_path / "key")).status == 0
        assert requests(daemon)[-1].body == {"value": f"{PLANTED}\n"}

    @pytest.mark.parametrize("path", ["missing", "."])
    def test_a_file_that_cannot_be_read_is_said(self, fairlead: Fairlead, home: Layout, path: str) -> None:
        with serving(home, PUT) as daemon:
            shown = fairlead("secret", "set", "TOKEN", "--stack", "shop", "--file", path)
        assert (shown.status, paths(daemon)) == (2, [])
        assert f"error: {path} cannot be read" in shown.err

    @pytest.mark.parametrize(
        "words",
        [("TOKEN", PLANTED), ("TOKEN", f"-{PLANTED}"), ("TOKEN", f"--{PLANTED}=1"), ("TOKEN", "--", f"-{PLANTED}")],
    )
    def test_a_value_as_an_argument_is_refused_and_not_repeated(
        self, fairlead: Fairlead, home: Layout, words: tuple[str, ...]
    ) -> None:
        with serving(home, PUT) as daemon:
            shown = fairlead("secret", "set", *words)
        assert (shown.status, daemon.asked) == (2, [])
        assert "takes a name and no value" in shown.err
        assert PLANTED not in shown.out + shown.err

    @pytest.mark.parametrize("name", [f"TOKEN={PLANTED}", f"{PLANTED}", "1", "a b", "", "PORT"])
    def test_what_is_no_name_is_refused_before_anybody_is_asked_and_not_repeated(
        self, fairlead: Fairlead, home: Layout, name: str
    ) -> None:
        with serving(home, PUT) as daemon:
            shown = fairlead("secret", "set", "--stack", "shop", name)
        assert (shown.status, daemon.asked) == (2, [])
        assert PLANTED not in shown.out + shown.err

    def test_what_is_not_utf8_is_refused(
        self, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        piped(monkeypatch, PLANTED.encode() + b"\xff")
        with serving(home, PUT) as daemon:
            shown = fairlead("secret", "set", "TOKEN", "--stack", "shop")
        assert (shown.status, paths(daemon)) == (2, [])
        assert "the value is not UTF-8" in shown.err
        assert PLANTED not in shown.err

    def test_a_flood_is_refused_before_it_is_sent(
        self, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        piped(monkeypatch, b"x" * (2 * 1024 * 1024))
        with serving(home, PUT) as daemon:
            shown = fairlead("secret", "set", "TOKEN", "--stack", "shop")
        assert (shown.status, paths(daemon)) == (2, [])
        assert "64 KiB" in shown.err

    def test_the_daemons_refusal_is_shown(
        self, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        piped(monkeypatch, b"")
        refusal = Refuse(UsageError("TOKEN is not set", "the value cannot be used: it is empty", "Pass it by stdin."))
        with serving(home, {**NONE_UP, "PUT /stacks/shop/secrets/TOKEN": refusal}):
            shown = fairlead("secret", "set", "TOKEN", "--stack", "shop")
        assert shown.status == 2
        assert "error: TOKEN is not set: the value cannot be used: it is empty" in shown.err


def test_what_was_done_is_json_when_asked_for(
    fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = {"stack": "shop", "name": "TOKEN", "used_by": [], "text": "TOKEN of shop is removed"}
    piped(monkeypatch, PLANTED.encode())
    with serving(home, {**PUT, "DELETE /stacks/shop/secrets/TOKEN": removed}):
        shown = [fairlead("secret", verb, "TOKEN", "--stack", "shop", "--json") for verb in ("set", "remove")]
    assert [json.loads(one.out) for one in shown] == [kept(), removed]
    assert PLANTED not in "".join(one.out + one.err for one in shown)


@pytest.mark.parametrize("how", [ConnectionRefusedError, ConnectionResetError, FileNotFoundError])
def test_a_daemon_that_leaves_as_the_guest_of_another_command_is_followed_by_the_next(
    fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch, how: type[OSError]
) -> None:
    piped(monkeypatch, PLANTED.encode())
    ask, left = Client.set_secret, [how(), how()]

    def gone(self: Client, *words: str) -> dict[str, Any]:
        if left:
            raise DaemonUnavailable("the daemon does not answer") from left.pop()
        return ask(self, *words)

    monkeypatch.setattr(Client, "set_secret", gone)
    with serving(home, PUT) as daemon:
        assert fairlead("secret", "set", "TOKEN", "--stack", "shop").status == 0
    assert requests(daemon)[-1].body == {"value": PLANTED}


def test_a_daemon_that_is_there_and_silent_is_not_asked_again(
    fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, b"x")
    times = []

    def silent(self: Client, *words: str) -> dict[str, Any]:
        times.append(words)
        raise DaemonUnavailable("the daemon does not answer", "no answer for 60 s") from TimeoutError()

    monkeypatch.setattr(Client, "set_secret", silent)
    with serving(home, PUT):
        assert fairlead("secret", "set", "TOKEN", "--stack", "shop").status == 1
    assert len(times) == 1


GIVEN_UP = {
    "secrets": [{"stack": "shop", "name": "TOKEN"}],
    "data": [{"stack": "shop", "id": "store"}],
    "text": "all secrets of this home are given up",
}


class TestReset:
    def test_says_what_to_set_again(self, fairlead: Fairlead, home: Layout) -> None:
        with serving(home, {**NONE_UP, "POST /secrets/reset": GIVEN_UP}) as daemon:
            shown = fairlead("secret", "reset", "--yes")
        assert paths(daemon) == ["POST /secrets/reset"]
        assert shown.err.splitlines() == [
            "all secrets of this home are given up",
            "next: fairlead secret set TOKEN --stack shop  |  fairlead up PATH",
        ]

    def test_asks_before_and_tells_json(self, fairlead: Fairlead, home: Layout) -> None:
        with serving(home, {**NONE_UP, "POST /secrets/reset": GIVEN_UP}) as daemon:
            refused = fairlead("secret", "reset")
            assert daemon.asked == []
            shown = fairlead("secret", "reset", "--yes", "--json")
        assert (refused.status, "it cannot be undone" in refused.err) == (2, True)
        assert json.loads(shown.out) == GIVEN_UP


class TestWhichStack:
    def test_that_of_the_file_here_is_meant_also_when_it_is_not_up(
        self, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        in_folder_of("shop")
        piped(monkeypatch, b"x")
        with serving(home, {**PUT, "GET /status": status_of(a_stack("other"))}) as daemon:
            assert fairlead("secret", "set", "TOKEN").status == 0
        assert paths(daemon) == ["PUT /stacks/shop/secrets/TOKEN"]

    def test_else_the_only_one_that_is_up(
        self, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        piped(monkeypatch, b"x")
        with serving(home, {**PUT, "GET /status": status_of(a_stack("shop"))}) as daemon:
            assert fairlead("secret", "set", "TOKEN").status == 0
        assert paths(daemon)[-1] == "PUT /stacks/shop/secrets/TOKEN"

    @pytest.mark.parametrize("stacks", [[], [a_stack("shop"), a_stack("other")]])
    def test_when_it_is_not_clear_nothing_is_set(
        self, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch, stacks: list[dict[str, Any]]
    ) -> None:
        piped(monkeypatch, b"x")
        with serving(home, {**PUT, "GET /status": status_of(*stacks)}) as daemon:
            shown = fairlead("secret", "set", "TOKEN")
        assert (shown.status, paths(daemon)) == (2, ["GET /status"])
        assert "it is not clear which stack is meant" in shown.err
        assert "--stack" in shown.err

    def test_a_file_here_whose_name_cannot_be_told_means_no_other_stack(
        self, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        in_folder_of("", "name: ${{env.STACK}}\n")
        piped(monkeypatch, b"x")
        with serving(home, {**PUT, "GET /status": status_of(a_stack("shop"))}) as daemon:
            shown = fairlead("secret", "set", "TOKEN")
        assert (shown.status, paths(daemon)) == (2, [])
        assert "--stack" in shown.err


ROWS = [
    {"name": "KEPT", "origin": "environment", "changed_at": "2026-11-22T12:00:00.000Z", "used_by": ["web", "alarms"]},
    {"name": "LOST", "origin": None, "changed_at": None, "used_by": ["web"]},
    {"name": "TOKEN", "origin": "set", "changed_at": "2026-11-21T08:30:01.000Z", "used_by": []},
]


class TestList:
    def test_is_a_table(self, fairlead: Fairlead, home: Layout) -> None:
        answer = {"stack": "shop", "secrets": ROWS}
        with serving(home, {**NONE_UP, "GET /stacks/shop/secrets": answer}):
            shown = fairlead("secret", "list", "--stack", "shop")
        assert shown.out.splitlines() == [
            "NAME   ORIGIN               CHANGED               USED BY",
            "KEPT   environment of `up`  2026-11-22 12:00:00Z  web, alarms",
            "LOST   not set              -                     web",
            "TOKEN  set                  2026-11-21 08:30:01Z  -",
        ]
        assert shown.err.splitlines() == ["next: fairlead secret set LOST --stack shop"]

    def test_as_json_is_the_answer(self, fairlead: Fairlead, home: Layout) -> None:
        answer = {"stack": "shop", "secrets": ROWS}
        with serving(home, {**NONE_UP, "GET /stacks/shop/secrets": answer}):
            assert json.loads(fairlead("secret", "list", "--stack", "shop", "--json").out) == answer

    def test_none_is_an_answer(self, fairlead: Fairlead, home: Layout) -> None:
        with serving(home, {**NONE_UP, "GET /stacks/shop/secrets": {"stack": "shop", "secrets": []}}):
            shown = fairlead("secret", "list", "--stack", "shop")
        assert (shown.status, shown.out) == (0, "")
        assert "shop has no secrets" in shown.err

    def test_without_a_daemon_the_home_is_asked_and_none_is_started(self, fairlead: Fairlead, home: Layout) -> None:
        store = Store.open(home.database)
        store.vault.put("shop", "TOKEN", PLANTED, "set")
        store.vault.put("shop", "GONE", PLANTED, "set")
        store.vault.remove("shop", "GONE")
        store.vault.put("shop", "resource:store", PLANTED, "generated")
        store.close()
        in_folder_of("shop")
        shown = fairlead("secret", "list", "--json")
        answer = json.loads(shown.out)
        assert [(row["name"], row["origin"], row["used_by"]) for row in answer["secrets"]] == [("TOKEN", "set", [])]
        assert not os.path.exists(home.api_socket)

    def test_an_empty_home_has_none(self, fairlead: Fairlead, home: Layout) -> None:
        assert fairlead("secret", "list", "--stack", "shop").status == 0
        shown = fairlead("secret", "list")
        assert shown.status == 2
        assert "--stack" in shown.err


class TestRemove:
    @pytest.mark.parametrize(("words", "query"), [((), {}), (("--force",), {"force": "1"})])
    def test_tells_what_the_daemon_says(
        self, fairlead: Fairlead, home: Layout, words: tuple[str, ...], query: dict[str, str]
    ) -> None:
        answer = {
            "stack": "shop",
            "name": "TOKEN",
            "used_by": ["web"],
            "text": "TOKEN of shop is removed; web keeps it",
        }
        with serving(home, {**NONE_UP, "DELETE /stacks/shop/secrets/TOKEN": answer}) as daemon:
            shown = fairlead("secret", "remove", "TOKEN", "--stack", "shop", *words)
        assert requests(daemon)[-1].query == query
        assert shown.err.splitlines() == [
            "TOKEN of shop is removed; web keeps it",
            "next: fairlead secret set TOKEN --stack shop  |  fairlead secret list --stack shop",
        ]

    def test_what_is_no_name_is_refused(self, fairlead: Fairlead, home: Layout) -> None:
        with serving(home, NONE_UP) as daemon:
            assert fairlead("secret", "remove", "resource:store", "--stack", "shop").status == 2
        assert daemon.asked == []


def at_a_terminal(home: Layout) -> Terminal:
    environment = {"FAIRLEAD_HOME": home.home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    return Terminal(fairlead_argv("secret", "set", "TOKEN", "--stack", "shop"), environment)


class TestPrompt:
    PROMPT = r"value of TOKEN for shop \(not shown\): "

    @pytest.mark.parametrize(
        ("typed", "value"),
        [
            (f"{PLANTED}\n", PLANTED),
            (f"{PLANTED}\r", PLANTED),
            (f"{PLANTED}x\x7f\n", PLANTED),
            ("wrong\x15" + PLANTED + "\n", PLANTED),
            ("pä€\x7f\x7fä\n", "pä"),
            (f"{PLANTED}\x04", PLANTED),
            ("\x7f\n", ""),
        ],
    )
    def test_what_is_typed_is_the_value_and_is_not_shown(self, home: Layout, typed: str, value: str) -> None:
        with serving(home, PUT) as daemon, at_a_terminal(home) as terminal:
            terminal.wait_for(self.PROMPT)
            terminal.type(typed)
            assert terminal.end() == 0
        assert requests(daemon)[-1].body == {"value": value}
        assert PLANTED not in terminal.written
        assert "TOKEN of shop is set" in terminal.written

    def test_a_long_line_that_is_pasted_arrives_whole(self, home: Layout) -> None:
        token = base64.b64encode(os.urandom(9000)).decode()
        with serving(home, PUT) as daemon, at_a_terminal(home) as terminal:
            terminal.wait_for(self.PROMPT)
            for start in range(0, len(token), 1000):
                terminal.type(token[start : start + 1000])
            terminal.type("\n")
            assert terminal.end() == 0
        assert requests(daemon)[-1].body == {"value": token}

    def test_several_lines_are_refused_and_not_left_to_the_shell(self, home: Layout) -> None:
        with serving(home, PUT) as daemon, at_a_terminal(home) as terminal:
            terminal.wait_for(self.PROMPT)
            terminal.type(f"-----BEGIN-----\n{PLANTED}\n-----END-----\n")
            assert terminal.end() == 2
        assert paths(daemon) == []
        assert "several lines were pasted" in terminal.written
        assert PLANTED not in terminal.written

    @pytest.mark.parametrize("key", ["\x03", "\x04"])
    def test_ctrl_c_and_ctrl_d_change_nothing(self, home: Layout, key: str) -> None:
        with serving(home, PUT) as daemon, at_a_terminal(home) as terminal:
            terminal.wait_for(self.PROMPT)
            terminal.type(key)
            assert terminal.end() == 130
        assert paths(daemon) == []

    def test_the_terminal_is_as_it_was_afterwards(self, home: Layout) -> None:
        command = " ".join(fairlead_argv("secret", "set", "TOKEN", "--stack", "shop"))
        environment = {"FAIRLEAD_HOME": home.home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        program = f'before=$(stty -g); {command}; test "$(stty -g)" = "$before" && echo as it was'
        for typed in (f"{PLANTED}\n", "\x03"):
            with (
                serving(home, PUT),
                Terminal(["/bin/sh", "-c", f"trap : INT; {program}"], environment) as terminal,
            ):
                terminal.wait_for(self.PROMPT)
                terminal.type(typed)
                terminal.wait_for("as it was")
                assert terminal.end() == 0


def test_names_are_completed_also_of_a_stack_that_is_not_up(home: Layout, tmp_path: Path) -> None:
    store = keep(home, "blog")
    store.vault.put("shop", "TOKEN", PLANTED, "set")
    store.vault.put("shop", "GONE", PLANTED, "set")
    store.vault.remove("shop", "GONE")
    store.vault.put("shop", "resource:store", PLANTED, "generated")
    store.vault.put("blog", "OTHER", PLANTED, "set")
    store.close()
    (tmp_path / "fairlead.yaml").write_text("name: shop\n")
    for line in ("fairlead secret set ", "fairlead secret remove T"):
        assert answers(home, line, cwd=str(tmp_path))[0] == ["TOKEN"]
    assert answers(home, "fairlead secret remove --stack blog ", cwd="/")[0] == ["OTHER"]
    assert answers(home, "fairlead secret ")[0] == ["list", "remove", "reset", "set"]


def test_the_request_of_a_value_is_one_put_and_its_path_holds_the_name_only(
    fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Request] = []

    def answer(request: Request) -> dict[str, Any]:
        seen.append(request)
        return kept()

    piped(monkeypatch, PLANTED.encode())
    with serving(home, {**NONE_UP, "PUT /stacks/shop/secrets/TOKEN": answer}):
        shown = fairlead("secret", "set", "TOKEN", "--stack", "shop")
    (request,) = seen
    assert (request.path, request.query) == ("/stacks/shop/secrets/TOKEN", {})
    assert PLANTED not in shown.out + shown.err


def test_what_the_file_keeps_as_a_secret_is_sent_by_up_and_not_left_to_a_daemon_that_is_started(
    fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon would have it in its own environment for as long as it lives."""
    Path("fairlead.yaml").write_text(
        "name: shop\nservices:\n  web: {command: serve, secrets: [TOKEN],"
        ' environment: {A: "${secrets.NAMED}", B: "${env.PLAIN}"}}\n'
    )
    for name in ("TOKEN", "NAMED", "PLAIN", "OTHER"):
        monkeypatch.setenv(name, f"{PLANTED}-{name}")
    result = {"type": "result", "stack": "shop", "changed": False, "summary": [], "urls": []}
    with serving(home, {"POST /stacks": Stream([result])}) as daemon:
        assert fairlead("up").status == 0
    sent = next(one for one in daemon.asked if one.path == "/stacks").body["env"]
    assert sent == {name: f"{PLANTED}-{name}" for name in ("TOKEN", "NAMED", "PLAIN")}
    assert [name for name in ("TOKEN", "NAMED", "PLAIN", "OTHER") if name in os.environ] == ["PLAIN", "OTHER"]
