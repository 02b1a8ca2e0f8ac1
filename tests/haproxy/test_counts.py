"""Counters as HAProxy 2.8.25 really wrote them, and an answer that is none."""

from __future__ import annotations

import pytest

from fairlead.errors import BalancerError
from fairlead.haproxy.commands import parse_stat
from fairlead.haproxy.counts import NONE, parse_counts, show_servers

NAMES = (
    "pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,"
    "bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,"
    "check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,"
    "req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,"
    "rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,"
    "agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,"
    "wrew,connect,reuse,cache_lookups,"
)
FRONTEND = (
    "_l.127.0.0.1:47873,FRONTEND,,,1,2,1695,12,701,1479,0,0,3,,,,,OPEN,,,,,,,,,1,2,0,,,,0,6,0,5,,,,0,7,0,5,3,0,,8,8,16,,,"
    "0,0,0,0,,,,,,,,,,,,,,,,,,,,,http,,6,5,12,1,0,0,0,,,0,"
)
SERVER = (
    "shop.web.w,web-1,0,0,2,1,,6,111,268,,0,,1,4,3,1,DOWN,1,1,0,2,2,0,,,1,5,1,,3,,2,5,,5,L4CON,,0,1,2,3,4,5,0,,,,1,0,9,"
    ',,,,0,"Connection, ""refused""",,0,0,0,0,,,,Layer4 connection problem,,2,2,0,,,,127.0.0.1:33079,,http,,,,,,,,0,6,0,,'
)
BACKEND = (
    "shop.web.w,BACKEND,7,0,2,1,1,4,226,702,8,9,,2,0,3,1,DOWN,0,0,0,,1,0,0,,1,5,0,,4,,1,2,,3,,,,0,1,0,1,2,0,,,,4,1,0,0,0,"
    "0,0,0,,,0,0,0,0,,,,,,,,,,,,,,http,roundrobin,,,,,,,0,7,0,0,"
)
ANSWER = "\n".join((f"# {NAMES}", FRONTEND, SERVER, BACKEND, ""))


def test_counts_are_read_by_the_names_of_their_columns() -> None:
    counts = parse_counts(ANSWER)
    assert counts == {
        ("_l.127.0.0.1:47873", "FRONTEND"): NONE._replace(
            open=1, taken=12, successes=7, client_errors=5, server_errors=3, accepted=12, bytes_in=701, bytes_out=1479,
            unread=3,
        ),
        ("shop.web.w", "web-1"): NONE._replace(
            open=2, taken=6, informational=1, successes=2, redirections=3, client_errors=4, server_errors=5,
            unreachable=1, failed=4, cut=9, again=3, elsewhere=1, connects=6, bytes_in=111, bytes_out=268,
        ),
        ("shop.web.w", "BACKEND"): NONE._replace(
            open=2, queued=7, taken=4, successes=1, client_errors=1, server_errors=2, unreachable=2, again=3,
            elsewhere=1, connects=7, bytes_in=226, bytes_out=702, denied=8, replaced=9,
        ),
    }  # fmt: skip


def test_another_versions_columns_and_their_order_change_nothing() -> None:
    rows = [line.split(",") for line in (NAMES, FRONTEND, BACKEND)]
    head, *turned = [",".join([*row[:2], *reversed(row[2:]), "new"]) for row in rows]
    text = "\n".join((f"# {head}", *turned))
    assert parse_counts(text) == {row: one for row, one in parse_counts(ANSWER).items() if row[1] != "web-1"}


def test_what_the_decision_reads_of_the_same_answer_agrees() -> None:
    counts = parse_counts(ANSWER)
    for row in parse_stat(ANSWER):
        assert counts[row.proxy, row.name].open == row.sessions
        assert counts[row.proxy, row.name].taken == row.tally.requests


@pytest.mark.parametrize(
    "answer", ["", "Unknown command", "# pxname,svname,scur", "\n".join((f"# {NAMES}", "shop.web,web-1,0")),
               "\n".join((f"# {NAMES}", SERVER.replace(",6,111,", ",x,111,")))],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused(answer: str) -> None:
    with pytest.raises(BalancerError, match="statistics cannot be read"):
        parse_counts(answer)


def test_no_name_can_become_a_second_question() -> None:
    assert show_servers("shop.web.w") == "show stat shop.web.w 6 -1"
    with pytest.raises(BalancerError):
        show_servers("shop.web; show env")
