"""A4: what a rule does with a request."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import pytest

from tests.conformance.client import Answer
from tests.conformance.facts import fact
from tests.conformance.files import with_group, with_listener, with_rule
from tests.conformance.rehearsal import Up, refusal_of, stack_of

pytestmark = pytest.mark.live

FILE = """\
name: actions
services:
  web: {targets: ["${env.web}"]}
  next: {targets: ["${env.next}"]}
  idle: {targets: ["${env.idle}"]}
load_balancer:
  listeners:
    - port: ${env.PORT}
      rules:
        - {when: {path: /weights}, forward: {web: 75, next: 25, idle: 0}}
        - {when: {path: /single}, forward: next}
        - {when: {path: /only-one}, forward: {web: 0, next: 7}}
        - {when: {path: [/sticky, /sticky/too]}, forward: {web: 50, next: 50}, stickiness: 1m}
        - {when: {path: /briefly}, forward: {web: 50, next: 50}, stickiness: 2s}
        - {when: {path: /others}, forward: {web: 100, idle: 0}, stickiness: 1m}
        - {when: {path: /empty}, respond: {status: 204}}
        - {when: {path: /teapot}, respond: {status: 418, content_type: application/json, body: '{"a": "%b $c # d \\\\ e ä"}'}}
        - {when: {path: /css}, respond: {status: 200, content_type: text/css, body: "a {}"}}
        - {when: {path: /away}, respond: {status: 503, content_type: text/html, body: "<p>Back soon</p>"}}
      default: {forward: web}
    - port: ${env.PORT_REDIRECTS}
      rules:
        - {when: {path: /host*}, redirect: {host: new.example.com, status: 301}}
        - {when: {path: /port}, redirect: {port: 9443, status: 302}}
        - {when: {path: /tls*}, redirect: {protocol: HTTPS, port: 443, status: 301}}
        - {when: {path: /path*}, redirect: {path: "/fixed", status: 302}}
        - {when: {path: /query*}, redirect: {host: q.test, query: "a=1&b=2", status: 302}}
        - {when: {path: /none}, redirect: {host: q.test, query: "", status: 302}}
        - {when: {path: "/all*"}, redirect: {host: "www.#{host}", port: "#{port}", path: "/x/#{host}/#{port}/#{path}/y",
                                            query: "p=#{protocol}&h=#{host}&n=#{port}&w=#{path}&q=#{query}", status: 302}}
        - {when: {path: "/long*"}, redirect: {host: q.test, query: "#{query}&#{query}", status: 302}}
      default: {respond: {status: 404}}
    - port: ${env.PORT_TLS}
      protocol: HTTPS
      certificates: local
      default: {redirect: {host: new.test, path: "/#{path}/x", query: "was=#{protocol}", status: 302}}
"""

WEEK = 7 * 86400


def location(answer: Answer) -> str:
    assert answer.status in (301, 302)
    return answer.one("location") or ""


def expires_in(answer: Answer, cookie: str) -> float:
    """Seconds until the cookie's `Expires`."""
    (line,) = [line for line in answer.all("set-cookie") if line.startswith(f"{cookie}=")]
    (until,) = [part.partition("=")[2] for part in line.split("; ") if part.lower().startswith("expires=")]
    return parsedate_to_datetime(until).timestamp() - time.time()


@fact("A4", "A group's share of the requests is its weight by the sum of the weights", "real")
def test_a4_weights_are_shares(up: Up) -> None:
    with up.client() as client:
        answers = Counter(client.ask("/weights").text for _ in range(600))
    # 450 expected, with a standard deviation of 10.6: five of them.
    assert set(answers) == {"web", "next"}
    assert 397 <= answers["web"] <= 503


@fact("A4", "A group with weight 0 gets no new requests", "real")
def test_a4_weight_0_is_no_traffic(up: Up) -> None:
    assert {up.ask("/only-one").text for _ in range(20)} == {"next"}


@fact("A4", "With one target group no weight is needed", "real")
def test_a4_one_group_needs_no_weight(up: Up) -> None:
    assert up.ask("/single").text == "next"


@fact("A4", "A weight is a number from 0 to 999", "real")
def test_a4_bounds_of_a_weight() -> None:
    stack_of(with_rule("{when: {path: /a}, forward: {web: 999}}"))
    assert "999" in refusal_of(with_rule("{when: {path: /a}, forward: {web: 1000}}"))


@fact("A4", "A group without targets keeps its share: those requests get 503, not another group's target", "real")
def test_a4_weights_do_not_look_at_health(bring_up: Callable[..., Up]) -> None:
    up = bring_up("""\
name: unhealthy-share
services:
  web: {targets: ["${env.web}"]}
  gone: {targets: ["127.0.0.1:9"]}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: {web: 50, gone: 50}}}]}
""", admit=False)  # fmt: skip
    up.admit(up.register("web", "web"))
    answers = Counter(up.ask().status for _ in range(60))
    assert set(answers) == {200, 503}
    assert 10 <= answers[503] <= 50


@fact("A4", "Group stickiness: the response sets AWSALBTG, and AWSALBTGCORS with SameSite=None; Secure", "approximated",
      "the value is not encrypted, but says only which group and until when")  # fmt: skip
def test_a4_group_stickiness_sets_two_cookies(up: Up) -> None:
    answer = up.ask("/sticky")
    assert set(answer.cookies) == {"AWSALBTG", "AWSALBTGCORS"}
    assert answer.cookies["AWSALBTG"] == answer.cookies["AWSALBTGCORS"]
    assert f"actions.{answer.text}|".encode() in base64.b64decode(answer.cookies["AWSALBTG"])
    plain, cors = sorted(answer.all("set-cookie"))
    assert "Path=/" in plain
    assert "SameSite=None" not in plain
    assert "SameSite=None" in cors
    assert "Secure" in cors


@fact("A4", "The cookie of group stickiness expires in 7 days, whatever the duration", "real")
def test_a4_the_group_cookie_lives_for_a_week(up: Up) -> None:
    answer = up.ask("/sticky")
    for cookie in ("AWSALBTG", "AWSALBTGCORS"):
        assert WEEK - 60 < expires_in(answer, cookie) <= WEEK + 5
    assert not any("max-age" in line.lower() for line in answer.all("set-cookie"))


@fact("A4", "Later requests with the cookie go to the same group", "real")
def test_a4_the_group_cookie_is_honoured(up: Up) -> None:
    first = up.ask("/sticky")
    for name in ("AWSALBTG", "AWSALBTGCORS"):
        cookie = [("Cookie", f"other=1; {name}={first.cookies[name]}")]
        assert {up.ask("/sticky", cookie).text for _ in range(15)} == {first.text}


@fact("A4", "The cookie holds for every rule whose groups it names", "real")
def test_a4_the_group_cookie_holds_for_other_paths(up: Up) -> None:
    first = up.ask("/sticky")
    cookie = [("Cookie", f"AWSALBTG={first.cookies['AWSALBTG']}")]
    assert {up.ask("/sticky/too", cookie).text for _ in range(15)} == {first.text}


@fact("A4", "An invalid group cookie is ignored, and a new one set", "real")
def test_a4_an_invalid_group_cookie_is_ignored(up: Up) -> None:
    forged = base64.b64encode(b"actions.idle|9999999999").decode()
    for value in ("", "nonsense", "%41%42", forged, "A" * 3000):
        answers = [up.ask("/sticky", [("Cookie", f"AWSALBTG={value}")]) for _ in range(12)]
        assert {answer.text for answer in answers} <= {"web", "next"}
        assert all("AWSALBTG" in answer.cookies for answer in answers)


@fact("A4", "A client with the cookie stays with its group though its weight became 0", "real")
def test_a4_weight_0_keeps_clients_with_the_cookie(up: Up) -> None:
    cookie = base64.b64encode(f"actions.idle|{int(time.time()) + 50}".encode()).decode()
    answers = {up.ask("/others", [("Cookie", f"AWSALBTG={cookie}")]).text for _ in range(10)}
    assert answers == {"idle"}
    assert {up.ask("/others").text for _ in range(10)} == {"web"}


@fact("A4", "Group stickiness ends with its duration, which each response begins anew", "real")
def test_a4_group_stickiness_ends(up: Up) -> None:
    first = up.ask("/briefly")
    cookie = first.cookies["AWSALBTG"]
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        again = up.ask("/briefly", [("Cookie", f"AWSALBTG={cookie}")])
        assert again.text == first.text
        cookie = again.cookies["AWSALBTG"]
        time.sleep(0.2)
    old = [("Cookie", f"AWSALBTG={first.cookies['AWSALBTG']}")]
    assert {up.ask("/briefly", old).text for _ in range(40)} == {"web", "next"}


@fact("A4", "Group stickiness lasts 1 second to 7 days", "real")
def test_a4_bounds_of_group_stickiness() -> None:
    file = """\
name: bounds
services: {web: {targets: ["127.0.0.1:9"]}, next: {targets: ["127.0.0.1:9"]}}
load_balancer: {listeners: [{port: 8080, default: {forward: {web: 1, next: 1}, stickiness: %s}}]}
"""
    for good in ("1s", "7d"):
        stack_of(file % good)
    for bad in ("0s", "8d"):
        assert refusal_of(file % bad)


@fact("A4", "With several groups of which one has sticky sessions, group stickiness must be on", "real",
      message="has stickiness, which needs that of the rule too: else a client would change")  # fmt: skip
def test_a4_sticky_groups_need_group_stickiness(message: str) -> None:
    file = """\
name: both
services:
  web: {targets: ["127.0.0.1:9"], target_group: {stickiness: {type: lb_cookie}}}
  next: {targets: ["127.0.0.1:9"]}
load_balancer: {listeners: [{port: 8080, default: {forward: {web: 1, next: 1}}}]}
"""
    assert message in refusal_of(file)


@fact("A4", "A redirect has status 301 or 302", "real")
def test_a4_a_redirect_has_301_or_302(up: Up) -> None:
    assert up.ask("/host", port="PORT_REDIRECTS").status == 301
    assert up.ask("/port", port="PORT_REDIRECTS").status == 302
    assert "301 or 302" in refusal_of(with_rule("{when: {path: /a}, redirect: {host: a.test, status: 307}}"))


@fact("A4", "Location is absolute, with the port spelt out", "real")
def test_a4_location_is_absolute(up: Up) -> None:
    port = up.port("PORT_REDIRECTS")
    assert location(up.ask("/host?a=b", port="PORT_REDIRECTS")) == f"http://new.example.com:{port}/host?a=b"
    assert location(up.ask("/tls", port="PORT_REDIRECTS", host="example.com")) == "https://example.com:443/tls"


@fact("A4", "Protocol, host, port, path and query of a redirect stay as they were when they are left out", "real")
def test_a4_what_a_redirect_leaves_out_stays(up: Up) -> None:
    port = up.port("PORT_REDIRECTS")
    ways = {
        "/host/a?x=1&y": f"http://new.example.com:{port}/host/a?x=1&y",
        "/port": "http://shop.test:9443/port",
        "/tls/a?b": "https://shop.test:443/tls/a?b",
        "/path/old?k=v": f"http://shop.test:{port}/fixed?k=v",
        "/query/a?old=1": f"http://q.test:{port}/query/a?a=1&b=2",
        "/none?x=1": f"http://q.test:{port}/none",
    }
    found = {way: location(up.ask(way, port="PORT_REDIRECTS", host="shop.test:1234")) for way in ways}
    assert found == ways


@fact(
    "A4",
    "#{protocol}, #{host}, #{port}, #{path} and #{query} stand for those of the request; #{path} has no leading /",
    "real",
)
def test_a4_placeholders_of_a_redirect(up: Up) -> None:
    port = up.port("PORT_REDIRECTS")
    answer = up.ask("/all/of?it=1", port="PORT_REDIRECTS", host="shop.test")
    assert location(answer) == (
        f"http://www.shop.test:{port}/x/shop.test/{port}/all/of/y?p=http&h=shop.test&n={port}&w=all/of&q=it=1"
    )


@fact("A4", "Redirects lead from HTTP to HTTP and HTTPS, and from HTTPS to HTTPS", "real")
def test_a4_a_redirect_on_tls(up: Up) -> None:
    answer = up.ask("/a?b", port="PORT_TLS", host="localhost", tls=up.rehearsal.trust())
    assert location(answer) == f"https://new.test:{up.port('PORT_TLS')}/a/x?was=https"


@fact("A4", "Each placeholder may stand only where it makes sense: #{query} not in a path, #{path} not in a host", "real",
      message="holds a keyword that cannot stand here")  # fmt: skip
def test_a4_places_of_placeholders(message: str) -> None:
    for member in (
        'path: "/#{query}"',
        'host: "#{path}"',
        'host: "#{port}.test"',
        'path: "/#{protocol}"',
        'path: "/#{else}"',
    ):
        assert message in refusal_of(with_rule(f"{{when: {{path: /a}}, redirect: {{{member}, status: 301}}}}"))


@fact(
    "A4",
    "A redirect that changes neither protocol, host, port nor path is refused",
    "real",
    message="leads back to the same address",
)
def test_a4_a_redirect_must_change_something(message: str) -> None:
    for members in ("status: 301", 'query: "a=1", status: 301', 'host: "#{host}", path: "/#{path}", status: 301'):
        assert message in refusal_of(with_rule(f"{{when: {{path: /a}}, redirect: {{{members}}}}}"))


@fact(
    "A4", "A redirect from HTTPS to HTTP is refused", "real", message="leads from HTTPS to HTTP, which an ALB refuses"
)
def test_a4_no_redirect_from_https_to_http(message: str) -> None:
    rule = "rules: [{when: {path: /a}, redirect: {protocol: HTTP, port: 80, status: 301}}]"
    assert message in refusal_of(with_listener(f"protocol: HTTPS, certificates: local, {rule}"))


@fact("A4", "A redirect encodes nothing: what was sent is what Location holds", "real")
def test_a4_a_redirect_encodes_nothing(up: Up) -> None:
    port = up.port("PORT_REDIRECTS")
    sent = "/host/%41%2f'\"$(x)?q=%20+&%0d%0a=;"
    assert location(up.ask(sent, port="PORT_REDIRECTS")) == f"http://new.example.com:{port}{sent}"


@fact("A4", "A Location of more than 8 K becomes a 507", "real")
def test_a4_a_long_location_is_507(up: Up) -> None:
    assert up.ask(f"/long?{'x' * 4000}", port="PORT_REDIRECTS").status == 302
    assert up.ask(f"/long?{'x' * 4200}", port="PORT_REDIRECTS").status == 507


@fact(
    "A4",
    "Host has at most 128 characters, path begins with / and has at most 128, query at most 128 without its ?",
    "real",
)
def test_a4_bounds_of_a_redirect() -> None:
    def file(member: str) -> str:
        return with_rule(f"{{when: {{path: /a}}, redirect: {{{member}, port: 81, status: 301}}}}")

    for good in (f"host: {'h' * 128}", f"path: /{'p' * 127}", f"query: {'q' * 128}", "path: /b"):
        stack_of(file(good))
    for bad in (
        f"host: {'h' * 129}",
        f"path: /{'p' * 128}",
        f"query: {'q' * 129}",
        "path: b",
        'query: "?a"',
        "port: 0",
    ):
        assert refusal_of(file(bad) if "port" not in bad else file("path: /b").replace("port: 81", bad))


@fact("A4", "A redirect has a small HTML body", "real")
def test_a4_a_redirect_has_a_body(up: Up) -> None:
    answer = up.ask("/host", port="PORT_REDIRECTS")
    assert answer.one("content-type") == "text/html"
    assert "301 Moved Permanently" in answer.text


@fact("A4", "A fixed response has its status, type and body", "real")
def test_a4_a_fixed_response(up: Up) -> None:
    answer = up.ask("/teapot")
    assert (answer.status, answer.one("content-type")) == (418, "application/json")
    assert answer.text == '{"a": "%b $c # d \\\\ e ä"}'
    assert up.ask("/css").one("content-type") == "text/css"
    away = up.ask("/away")
    assert (away.status, away.text) == (503, "<p>Back soon</p>")


@fact("A4", "The body of a fixed response may be left out", "real")
def test_a4_a_fixed_response_without_body(up: Up) -> None:
    assert (up.ask("/empty").status, up.ask("/empty").body) == (204, b"")


@fact("A4", "No target sees a request that a redirect or a fixed response answers", "real")
def test_a4_no_target_sees_an_answered_request(up: Up) -> None:
    before = len(up.servers["web"].heard)
    up.ask("/teapot")
    up.ask("/teapot", method="POST", body=b"x" * 100)
    assert len(up.servers["web"].heard) == before


@fact("A4", "A fixed response has status 2xx, 4xx or 5xx", "real", message="must be 2xx, 4xx or 5xx, not 302")
def test_a4_status_of_a_fixed_response(message: str) -> None:
    for good in (200, 299, 400, 599):
        stack_of(with_rule(f"{{when: {{path: /a}}, respond: {{status: {good}}}}}"))
    assert message in refusal_of(with_rule("{when: {path: /a}, respond: {status: 302}}"))
    assert refusal_of(with_rule("{when: {path: /a}, respond: {status: 199}}"))


@fact("A4", "The body of a fixed response has at most 1024 characters, its type is one of five", "real")
def test_a4_bounds_of_a_fixed_response() -> None:
    def file(size: int, kind: str = "text/plain") -> str:
        return with_rule(f"{{when: {{path: /a}}, respond: {{status: 200, content_type: {kind}, body: {'b' * size}}}}}")

    for kind in ("text/plain", "text/css", "text/html", "application/javascript", "application/json"):
        stack_of(file(1024, kind))
    assert "1024" in refusal_of(file(1025))
    assert "text/plain" in refusal_of(file(1, "image/png"))


@fact("A4", "With targets that speak HTTP/2 or gRPC the only action of a listener is forward", "approximated",
      "other rules of the listener may redirect and respond")  # fmt: skip
def test_a4_other_actions_beside_an_http2_group() -> None:
    file = (
        with_group("protocol: HTTP2")
        + """\
load_balancer:
  listeners:
    - {port: 8443, protocol: HTTPS, certificates: local, rules: [{when: {path: /a}, respond: {status: 200}}], default: {forward: web}}
"""
    )
    assert len(stack_of(file).listeners[0].rules) == 1


@fact("A4", "authenticate-oidc, authenticate-cognito", "refused", message="is not a key that fairlead knows here")
def test_a4_authentication(message: str) -> None:
    for action in ("authenticate_oidc", "authenticate_cognito"):
        assert message in refusal_of(with_rule(f"{{when: {{path: /a}}, {action}: {{issuer: x}}, forward: web}}"))


@fact("A4", "jwt-validation", "refused", message="is not a key that fairlead knows here")
def test_a4_jwt_validation(message: str) -> None:
    assert message in refusal_of(with_rule("{when: {path: /a}, jwt_validation: {issuer: x}, forward: web}"))
