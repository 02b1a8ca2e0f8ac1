"""B4: clients that stay with a target."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import pytest

from tests.conformance.client import Answer, websocket
from tests.conformance.facts import fact
from tests.conformance.rehearsal import Up, refusal_of
from tests.conformance.servers import ok

pytestmark = pytest.mark.live

FILE = """\
name: sticky
services:
  web: {targets: ["${env.a}", "${env.b}", "${env.c}"], target_group: {stickiness: {type: lb_cookie, duration: 1h}}}
  brief: {targets: ["${env.d}", "${env.e}"], target_group: {stickiness: {type: lb_cookie, duration: 2s}}}
  app: {targets: ["${env.f}", "${env.g}"], target_group: {stickiness: {type: app_cookie, cookie: SID, duration: 1h}}}
load_balancer:
  listeners:
    - port: ${env.PORT}
      rules:
        - {when: {path: "/brief*"}, forward: brief}
        - {when: {path: "/app*"}, forward: app}
      default: {forward: web}
"""

TWO = """\
name: sticky-NAME
services:
  web:
    targets: ["${env.a}", "${env.b}"]
    health_check: {interval: 200ms, timeout: 200ms}
    target_group: {stickiness: {type: lb_cookie, duration: 1h}}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
"""

BOTH = ("AWSALB", "AWSALBCORS")


def cookies(answer: Answer, *names: str) -> list[tuple[str, str]]:
    """A Cookie header with these of the answer's."""
    return [("Cookie", "; ".join(f"{name}={answer.cookies[name]}" for name in names))]


@fact(
    "B4", "lb_cookie: every response sets AWSALB, and AWSALBCORS with the same value, SameSite=None and Secure", "real"
)
def test_b4_every_response_sets_both_cookies(up: Up) -> None:
    first = up.ask()
    again = up.ask("/", cookies(first, "AWSALB"))
    for answer in (first, again, up.ask(method="POST")):
        assert set(answer.cookies) == set(BOTH)
        assert answer.cookies["AWSALB"] == answer.cookies["AWSALBCORS"]
        plain, cors = sorted(answer.all("set-cookie"))
        assert "Path=/" in plain
        assert "SameSite" not in plain
        assert "SameSite=None" in cors
        assert "Secure" in cors


@fact("B4", "lb_cookie: the value is encrypted", "approximated",
      "it is base64 and says which target and until when; who forges one reaches that target, which anybody may")  # fmt: skip
def test_b4_the_value_of_the_cookie(up: Up) -> None:
    answer = up.ask()
    name, _, until = base64.b64decode(answer.cookies["AWSALB"]).decode().partition("|")
    assert name == {"a": "web-1", "b": "web-2", "c": "web-3"}[answer.text]
    assert abs(int(until) - time.time() - 3600) < 10


@fact("B4", "lb_cookie: `Expires` is 7 days ahead whatever the duration, and there is no Max-Age", "real")
def test_b4_expires_in_7_days(up: Up) -> None:
    for line in up.ask("/brief").all("set-cookie"):
        (until,) = [part.partition("=")[2] for part in line.split("; ") if part.lower().startswith("expires=")]
        assert abs(parsedate_to_datetime(until).timestamp() - time.time() - 7 * 86400) < 60
        assert "max-age" not in line.lower()


@fact("B4", "lb_cookie: a client with the cookie stays with its target, whatever the method", "real")
def test_b4_a_client_stays(up: Up) -> None:
    first = up.ask()
    for name in BOTH:
        sent = cookies(first, name)
        assert {up.ask("/", sent).text for _ in range(9)} == {first.text}
        assert {up.ask("/", sent, method="POST", body=b"x").text for _ in range(9)} == {first.text}


@fact("B4", "lb_cookie: without the cookie the algorithm chooses", "real")
def test_b4_without_the_cookie(up: Up) -> None:
    assert Counter(up.ask().text for _ in range(9)) == {"a": 3, "b": 3, "c": 3}


@fact("B4", "lb_cookie: AWSALBCORS wins when both are there", "real")
def test_b4_cors_wins(up: Up) -> None:
    one, two = up.ask(), up.ask()
    assert one.text != two.text
    sent = [("Cookie", f"AWSALB={one.cookies['AWSALB']}; AWSALBCORS={two.cookies['AWSALBCORS']}")]
    assert {up.ask("/", sent).text for _ in range(6)} == {two.text}


@fact("B4", "lb_cookie: the duration lies in the value, and each response begins it anew", "real")
def test_b4_the_duration_is_renewed(up: Up) -> None:
    first = up.ask("/brief")
    latest, deadline = first, time.monotonic() + 2.6
    while time.monotonic() < deadline:
        latest = up.ask("/brief", cookies(latest, "AWSALB"))
        assert latest.text == first.text
        time.sleep(0.2)
    assert {up.ask("/brief", cookies(first, "AWSALB")).text for _ in range(8)} == {"d", "e"}


@fact("B4", "lb_cookie: one that cannot be read is no cookie", "real")
def test_b4_an_unreadable_cookie(up: Up) -> None:
    forged = [base64.b64encode(text).decode() for text in (b"web-99|9999999999", b"web-1|nonsense", b"|", b"web-1")]
    for value in ("", "nonsense", "%41", *forged, "A" * 4000):
        answers = [up.ask("/", [("Cookie", f"AWSALB={value}")]) for _ in range(6)]
        assert {answer.status for answer in answers} == {200}
        assert {answer.text for answer in answers} == {"a", "b", "c"}
        assert all("AWSALB" in answer.cookies for answer in answers)


@fact("B4", "lb_cookie: a client whose target is unhealthy gets another and a new cookie, and does not go back", "real")
def test_b4_an_unhealthy_target_is_replaced(bring_up: Callable[..., Up]) -> None:
    up = bring_up(TWO.replace("NAME", "unhealthy"))
    first = up.ask()
    mine = up.target("web", first.text)
    up.servers[first.text].health = 503
    up.until_down(mine)
    other = up.ask("/", cookies(first, "AWSALB"))
    assert other.status == 200
    assert other.text != first.text
    up.servers[first.text].health = 200
    up.until_up(mine)
    assert {up.ask("/", cookies(other, "AWSALB")).text for _ in range(6)} == {other.text}


@fact("B4", "A draining target gets no new request, also with its cookie", "real")
def test_b4_a_draining_target_is_left(bring_up: Callable[..., Up]) -> None:
    up = bring_up(TWO.replace("NAME", "draining"))
    first = up.ask()
    up.drain(up.target("web", first.text))
    for method in ("GET", "POST"):
        answers = [up.ask("/", cookies(first, "AWSALB"), method=method) for _ in range(6)]
        assert {answer.status for answer in answers} == {200}
        assert first.text not in {answer.text for answer in answers}


@fact("B4", "A target that was deregistered is replaced without an error", "real")
def test_b4_a_deregistered_target_is_replaced(bring_up: Callable[..., Up]) -> None:
    up = bring_up(TWO.replace("NAME", "gone"))
    first = up.ask()
    target = up.target("web", first.text)
    up.drain(target)
    up.deregister(target)
    answers = [up.ask("/", cookies(first, "AWSALB")) for _ in range(6)]
    assert {(answer.status, answer.text == first.text) for answer in answers} == {(200, False)}


@fact("B4", "A sticky target that dies is replaced without an error", "approximated",
      "for GET, HEAD and OPTIONS at once; other methods as soon as its checks fail")  # fmt: skip
def test_b4_a_dead_target_is_replaced(bring_up: Callable[..., Up]) -> None:
    up = bring_up(TWO.replace("NAME", "dead"))
    first = up.ask()
    up.rehearsal.run(up.servers[first.text].kill())
    answers = [up.ask("/", cookies(first, "AWSALB")) for _ in range(10)]
    assert {(answer.status, answer.text == first.text) for answer in answers} == {(200, False)}


@fact("B4", "app_cookie: a response in which the target sets its cookie sets AWSALBAPP-0 too; no other does", "real")
def test_b4_app_cookie_follows_the_apps(up: Up) -> None:
    assert up.ask("/app").cookies == {}
    for name in ("f", "g"):
        up.servers[name].answer = ok(name.encode(), "Set-Cookie: SID=s3cret; Path=/")
    try:
        answer = up.ask("/app")
    finally:
        up.servers["f"].answer = up.servers["g"].answer = None
    assert answer.cookies["SID"] == "s3cret"
    assert "AWSALBAPP-0" in answer.cookies


@fact("B4", "app_cookie: a client stays when it sends both cookies, not with one of them", "real")
def test_b4_app_cookie_needs_both(up: Up) -> None:
    for name in ("f", "g"):
        up.servers[name].answer = ok(name.encode(), "Set-Cookie: SID=s3cret; Path=/")
    try:
        first = up.ask("/app")
    finally:
        up.servers["f"].answer = up.servers["g"].answer = None
    assert {up.ask("/app", cookies(first, "SID", "AWSALBAPP-0")).text for _ in range(8)} == {first.text}
    assert {up.ask("/app", cookies(first, "AWSALBAPP-0")).text for _ in range(8)} == {"f", "g"}
    assert {up.ask("/app", cookies(first, "SID")).text for _ in range(8)} == {"f", "g"}


@fact("B4", "app_cookie: only the name of the app's cookie is looked at", "real")
def test_b4_only_the_name_is_looked_at(up: Up) -> None:
    with (
        up.servers["f"].doing(ok(b"f", "Set-Cookie: SID=; Max-Age=0")),
        up.servers["g"].doing(ok(b"g", "Set-Cookie: SID=x")),
    ):
        first = up.ask("/app")
    sent = [("Cookie", f"SID=anything; AWSALBAPP-0={first.cookies['AWSALBAPP-0']}")]
    assert {up.ask("/app", sent).text for _ in range(8)} == {first.text}


@fact("B4", "app_cookie: up to four cookies, AWSALBAPP-0 to -3", "approximated", "one: its value is always short")
def test_b4_one_app_cookie(up: Up) -> None:
    with up.servers["f"].doing(ok(b"f", "Set-Cookie: SID=1")), up.servers["g"].doing(ok(b"g", "Set-Cookie: SID=1")):
        assert sorted(up.ask("/app").cookies) == ["AWSALBAPP-0", "SID"]


@fact("B4", "app_cookie does not go with weighted target groups", "real",
      message="has stickiness of the type app_cookie, which does not go with weights")  # fmt: skip
def test_b4_app_cookie_with_weights(message: str) -> None:
    assert message in refusal_of("""\
name: both
services:
  web: {targets: ["127.0.0.1:9"], target_group: {stickiness: {type: app_cookie, cookie: SID}}}
  next: {targets: ["127.0.0.1:9"]}
load_balancer: {listeners: [{port: 8080, default: {forward: {web: 1, next: 1}, stickiness: 1d}}]}
""")


@fact("B4", "A WebSocket needs no cookie: it stays with its target", "real")
def test_b4_a_websocket_stays(up: Up) -> None:
    with up.client() as client:
        assert websocket(client).status == 101
        assert client.send(b"here").read(4) == b"here"
