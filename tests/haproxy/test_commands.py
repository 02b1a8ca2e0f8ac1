"""Commands and answers, on text that HAProxy 2.8.25 really wrote."""

from __future__ import annotations

import pytest

from fairlead.core.traffic import Check
from fairlead.errors import BalancerError
from fairlead.haproxy.commands import (
    command,
    last_finished,
    parse_info,
    parse_servers_state,
    parse_sessions,
    parse_stat,
    state_to_keep,
)

STATE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr \
srv_agent_port
3 s.web 1 web-1 127.0.0.1 2 0 1 1 1 15 3 3 6 0 0 1 - 28101 - 0 0 - - 0
3 s.web 2 web-2 127.0.0.1 0 5 1 1 1 1 0 0 14 0 0 1 - 28102 - 0 0 - - 0
3 s.web 3 web-3 - 2 8 2 1 0 8 2 0 6 0 0 1 - 0 - 0 0 - - 0
3 s.web 4 web-4 127.0.0.1 2 4 1 1 0 15 3 3 6 0 0 1 - 28102 - 0 0 - - 0
"""

NAMES = "pxname,svname,status,scur,req_tot,check_status,check_code,check_duration,last_chk,check_desc"


def stat(*rows: str) -> str:
    return "\n".join(["# " + NAMES + ",", *(row + "," for row in rows)]) + "\n"


@pytest.mark.parametrize(
    ("kind", "fields", "line"),
    [
        ("ready", {}, "set server s.web/web-1 state ready"),
        ("health up", {}, "set server s.web/web-1 health up"),
        ("weight", {"weight": "2"}, "set server s.web/web-1 weight 2"),
        ("delete", {}, "del server s.web/web-1"),
        (
            "add",
            {"address": "unix@/tmp/a b;c\\d'e", "options": "id 1"},
            "add server s.web/web-1 unix@/tmp/a\\ b\\;c\\\\d\\'e id 1",
        ),
    ],
)
def test_a_command_is_one_line_with_everything_escaped(kind: str, fields: dict[str, str], line: str) -> None:
    assert command(kind, "s.web", "web-1", **fields).line == line


@pytest.mark.parametrize("name", ["a b", "a;b", "a\nb", "", "A", "a/b", "-x"])
def test_no_name_can_become_a_second_command(name: str) -> None:
    with pytest.raises(BalancerError):
        command("ready", "s.web", name)
    with pytest.raises(BalancerError):
        command("ready", f"s.{name}", "web-1")


@pytest.mark.parametrize(
    ("kind", "answer", "done"),
    [
        ("ready", "", True),
        ("ready", "\n", True),
        ("ready", "No such server.", False),
        ("delete", "Server deleted.", True),
        ("delete", "Server still has connections attached to it, cannot remove it.", False),
        ("delete", "", False),
        ("add", "Keyword 'enabled' is ignored for dynamic servers.\nNew server registered.", True),
        ("add", "Already exists a server with the same name in backend.", False),
        ("add", "Unknown command: 'add', but maybe one of the following ones is a better match:", False),
    ],
)
def test_success_is_by_whitelist(kind: str, answer: str, done: bool) -> None:
    fields = {"address": "127.0.0.1:1", "options": "id 1"} if kind == "add" else {}
    one = command(kind, "s.web", "web-1", **fields)
    if done:
        one.judge(answer)
    else:
        with pytest.raises(BalancerError, match="did not do"):
            one.judge(answer)


def test_server_states_tell_who_is_closed() -> None:
    states = parse_servers_state(STATE)
    seen = {name: (state.running, state.closed, state.weight) for (_, name), state in states.items()}
    assert seen == {
        "web-1": (True, False, 1),
        "web-2": (False, True, 1),  # maintenance, from the file
        "web-3": (True, True, 2),  # drain
        "web-4": (True, False, 1),  # was `disabled` in the file, and made ready since
    }


@pytest.mark.parametrize("text", ["", "2\n# be_id\n", "Unknown command", "1"])
def test_server_states_of_an_unknown_kind_are_refused(text: str) -> None:
    with pytest.raises(BalancerError):
        parse_servers_state(text)


@pytest.mark.parametrize(
    ("columns", "check", "checking"),
    [
        ("L7OK,200,3,,Layer7 check passed", Check(status="L7OK", code=200, duration=0.003, text="Layer7 check passed"), False),
        ("L4CON,,0,Connection refused,x", Check(status="L4CON", duration=0.0, text="Connection refused"), False),
        ('L7STS,503,1,"a ""b"", c",x', Check(status="L7STS", code=503, duration=0.001, text='a "b", c'), False),
        ("* L7OK,,,,passed", Check(status="L7OK", text="passed"), True),
        ("L7OK,0,0,,passed", Check(status="L7OK", text="passed"), False),
        ("INI,,,,Initializing", None, False),
        ("* INI,,,,Initializing", None, True),
        (",,,,", None, False),
    ],
)  # fmt: skip
def test_checks_are_read(columns: str, check: Check | None, checking: bool) -> None:
    (row,) = parse_stat(stat(f"s.web,web-1,UP,0,,{columns}"))
    assert (row.check, row.checking) == (check, checking)


@pytest.mark.parametrize(
    ("status", "usable"),
    [("UP", True), ("UP 1/2", True), ("no check", True), ("DOWN", False), ("DOWN 1/2", False), ("DRAIN", False),
     ("MAINT", False), ("MAINT (via s.web/x)", False)],
)  # fmt: skip
def test_who_may_get_requests(status: str, usable: bool) -> None:
    (row,) = parse_stat(stat(f"s.web,web-1,{status},0,,,,,,"))
    assert row.usable is usable


def test_unknown_columns_and_their_order_do_not_matter() -> None:
    text = (
        "# pxname,svname,new,check_desc,last_chk,check_duration,check_code,check_status,req_tot,scur,status,\n"
        "s.web,web-1,x,,,1,200,L7OK,,4,UP,\n"
    )
    (row,) = parse_stat(text)
    assert (row.proxy, row.name, row.sessions, row.status) == ("s.web", "web-1", 4, "UP")


def test_statistics_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(BalancerError):
        parse_stat("Unknown command")


FULL = Check(status="L7OK", code=200, duration=0.003)
BARE = "L7OK,0,0,,"


@pytest.mark.parametrize(
    ("columns", "remembered", "expected"),
    [
        ("L7OK,200,3,,", None, FULL),
        ("* L7OK,,,,", FULL, FULL),
        (BARE, FULL, FULL),
        ("* L7OK,,,,", None, Check(status="L7OK")),
        ("* INI,,,,", FULL, FULL),
        ("* L4CON,,,,", FULL, Check(status="L4CON")),
        ("L4CON,,0,,", FULL, Check(status="L4CON", duration=0.0)),
    ],
)
def test_the_last_finished_check_is_kept(columns: str, remembered: Check | None, expected: Check) -> None:
    (row,) = parse_stat(stat(f"s.web,web-1,UP,0,,{columns}"))
    assert last_finished(row, remembered) == expected


def test_info_is_read_by_name() -> None:
    info = parse_info("Name: HAProxy\nVersion: 2.8.25-5cf5d0683\nPid: 4711\nnode: \ndescription:\n")
    assert (info["Pid"], info["Version"]) == ("4711", "2.8.25-5cf5d0683")


def test_what_is_kept_of_the_states_does_not_recall_who_was_disabled() -> None:
    before, after = parse_servers_state(STATE), parse_servers_state(state_to_keep(STATE))
    assert before == after
    admin = [line.split(" ")[6] for line in state_to_keep(STATE).splitlines()[2:]]
    assert admin == ["0", "1", "8", "0"]


def test_what_is_left_of_a_ramp_begins_with_the_next_process() -> None:
    ramps = STATE.replace("web-1 127.0.0.1 2 0 1 1 1 15", "web-1 127.0.0.1 1 0 1 1 17 15")
    kept = [line.split(" ") for line in state_to_keep(ramps).splitlines()[2:]]
    assert [fields[9] for fields in kept] == ["0", "1", "0", "0"], "how long each has been as it is, in seconds"


SESSIONS = """\
0x34036600: proto=tcpv4 src=127.0.0.1:44320 fe=f be=s.web srv=web-1 ts=00 epoch=0 age=0s calls=4 rate=1 cpu=0 lat=0
0x34036b90: proto=tcpv4 src=127.0.0.1:44328 fe=f be=s.web.w srv=web-2 ts=00 epoch=0 age=0s calls=4 rate=1 cpu=0 lat=0
0x34035ca0: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0 age=0s calls=1 rate=0 cpu=0
"""


def test_what_runs_inside_servers_is_told_by_session() -> None:
    assert parse_sessions(SESSIONS) == [("0x34036600", "s.web", "web-1"), ("0x34036b90", "s.web.w", "web-2")]
    assert parse_sessions("Unknown command") == []


def test_a_servers_ramp_and_what_came_of_its_requests_are_read() -> None:
    names = "pxname,svname,status,scur,stot,hrsp_5xx,econ,eresp,throttle,check_status,check_code,check_duration,last_chk,check_desc"
    text = f"# {names},\ns.web,web-1,UP,0,100,3,1,2,57,,,,,,\ns.web,web-2,UP,0,2,0,4,0,,,,,,,\n"
    one, two = parse_stat(text)
    assert (one.throttle, one.tally.requests, one.tally.errors) == (57, 100, 6)
    assert (two.throttle, two.tally.errors) == (None, 2), "attempts are no requests"
