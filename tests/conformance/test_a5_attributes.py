"""A5: the attributes of the load balancer. Those that change headers are in A6, desync mitigation in A9."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.conformance.client import websocket
from tests.conformance.facts import fact
from tests.conformance.files import with_balancer, with_listener
from tests.conformance.rehearsal import Rehearsal, Up, refusal_of, stack_of, with_attributes
from tests.conformance.servers import after, ok, silence

pytestmark = pytest.mark.live

FILE = """\
name: idle
services:
  web: {targets: ["${env.web}"], target_group: {retry: off}}
load_balancer:
  idle_timeout: 1s
  drop_invalid_headers: true
  listeners: [{port: "${env.PORT}", default: {forward: web}}]
"""

NO_KEY = "is not a key that fairlead knows here"


@pytest.fixture(scope="module")
def aging(rehearsal: Rehearsal) -> Iterator[Up]:
    """Connections of clients live for 2 s (HAProxy counts whole ones): less than a file may say."""
    text = FILE.replace("name: idle", "name: aging").replace("1s", "60s").replace("true", "false")
    one = rehearsal.up(text, change=with_attributes(client_keep_alive=2.0))
    yield one
    one.down()


@fact("A5", "idle_timeout: 1 to 4000 seconds, 60 unless told otherwise", "real")
def test_a5_bounds_of_idle_timeout() -> None:
    assert stack_of(with_balancer("idle_timeout: 1s")).attributes.idle_timeout == 1
    assert stack_of(with_balancer("idle_timeout: 4000s")).attributes.idle_timeout == 4000
    assert stack_of(with_balancer("address: 127.0.0.1")).attributes.idle_timeout == 60
    assert refusal_of(with_balancer("idle_timeout: 4001s"))


@fact("A5", "idle_timeout: a target that has not begun to answer by then makes a 504", "real")
def test_a5_a_silent_target_is_504(up: Up) -> None:
    began = time.monotonic()
    with up.servers["web"].doing(silence()):
        assert up.ask().status == 504
    assert 0.9 <= time.monotonic() - began < 30, "not the usual 60"


@fact("A5", "idle_timeout: any byte begins it anew", "real")
def test_a5_every_byte_begins_the_idle_timeout_anew(up: Up) -> None:
    with up.client() as client:
        assert websocket(client).status == 101
        began = time.monotonic()
        while time.monotonic() - began < 1.8:
            assert client.send(b".").read(1) == b"."
            time.sleep(0.1)


@fact("A5", "idle_timeout: a WebSocket in which nothing is said is closed", "real")
def test_a5_an_idle_websocket_is_closed(up: Up) -> None:
    with up.client() as client:
        assert websocket(client).status == 101
        assert not client.ends(0.4)
        assert client.ends()


@fact("A5", "idle_timeout: a client's connection without a request is closed", "real")
def test_a5_an_idle_connection_is_closed(up: Up) -> None:
    with up.client() as client:
        assert client.ask().status == 200
        assert not client.ends(0.4)
        assert client.ends()


@fact("A5", "idle_timeout: a slow answer is let through when bytes come in time", "real")
def test_a5_a_slow_answer_is_let_through(up: Up) -> None:
    with up.servers["web"].doing(after(0.4, ok(b"slow"))):
        assert up.ask().text == "slow"


@fact("A5", "client_keep_alive: 60 seconds to 7 days, an hour unless told otherwise", "real")
def test_a5_bounds_of_client_keep_alive() -> None:
    assert stack_of(with_balancer("client_keep_alive: 60s")).attributes.client_keep_alive == 60
    assert stack_of(with_balancer("client_keep_alive: 7d")).attributes.client_keep_alive == 604800
    assert stack_of(with_balancer("address: 127.0.0.1")).attributes.client_keep_alive == 3600
    for bad in ("59s", "8d"):
        assert refusal_of(with_balancer(f"client_keep_alive: {bad}"))


@fact("A5", "client_keep_alive: behind the response after that time a connection is closed", "real")
def test_a5_an_old_connection_is_closed_behind_a_response(aging: Up) -> None:
    with aging.client() as client:
        young = client.ask()
        assert (young.one("connection") or "keep-alive").lower() == "keep-alive"
        time.sleep(2.1)
        old = client.ask()
        assert (old.status, (old.one("connection") or "").lower()) == (200, "close")
        assert client.ends()


@fact("A5", "client_keep_alive: a younger connection stays", "real")
def test_a5_a_young_connection_stays(aging: Up) -> None:
    with aging.client() as client:
        assert [client.ask().status for _ in range(5)] == [200] * 5
        assert not client.ends(0.2)


@fact("A5", "http2.enabled can be switched off", "refused", message=NO_KEY)
def test_a5_http2_cannot_be_switched_off(message: str) -> None:
    assert message in refusal_of(with_balancer("http2: false"))
    assert message in refusal_of(with_listener("http2: false"))


@fact("A5", "drop_invalid_header_fields: header names but for letters, digits and - are removed", "real")
def test_a5_invalid_header_names_are_dropped(up: Up) -> None:
    up.ask("/", [("X-Good", "1"), ("x_under", "2"), ("x.dot", "3"), ("x!mark", "4")])
    names = {name.lower() for name, _ in up.servers["web"].last.headers}
    assert "x-good" in names
    assert not names & {"x_under", "x.dot", "x!mark"}


@fact("A5", "drop_invalid_header_fields off, the default: they pass", "real")
def test_a5_invalid_header_names_pass(aging: Up) -> None:
    aging.ask("/", [("x_under", "2"), ("x.dot", "3")])
    assert aging.servers["web"].last.one("x_under") == "2"
    assert aging.servers["web"].last.one("x.dot") == "3"
    assert stack_of(with_balancer("address: 127.0.0.1")).attributes.drop_invalid_headers is False


@fact("A5", "preserve_host_header: off unless told otherwise", "approximated",
      "on unless told otherwise: apps see the host that the client asked for")  # fmt: skip
def test_a5_preserve_host_is_on() -> None:
    assert stack_of(with_balancer("address: 127.0.0.1")).attributes.preserve_host is True
    assert stack_of(with_balancer("preserve_host: false")).attributes.preserve_host is False


@fact("A5", "xff_client_port", "refused", message=NO_KEY)
def test_a5_client_port(message: str) -> None:
    assert message in refusal_of(with_balancer("xff_client_port: true"))


@fact("A5", "x_amzn_tls_version_and_cipher_suite", "refused", message=NO_KEY)
def test_a5_tls_headers(message: str) -> None:
    assert message in refusal_of(with_balancer("tls_version_and_cipher_suite: true"))


@fact("A5", "waf.fail_open: a web application firewall before the balancer", "refused", message=NO_KEY)
def test_a5_firewall(message: str) -> None:
    assert message in refusal_of(with_balancer("waf: {fail_open: true}"))


@fact("A5", "cross_zone: always on in an Application Load Balancer", "refused", message=NO_KEY)
def test_a5_cross_zone(message: str) -> None:
    assert message in refusal_of(with_balancer("cross_zone: true"))


@fact("A5", "deletion_protection", "refused", message=NO_KEY)
def test_a5_deletion_protection(message: str) -> None:
    assert message in refusal_of(with_balancer("deletion_protection: true"))


@fact("A5", "Zonal shift", "refused", message=NO_KEY)
def test_a5_zonal_shift(message: str) -> None:
    assert message in refusal_of(with_balancer("zonal_shift: true"))


@fact("A5", "Connection logs and health check logs in a bucket", "refused", message=NO_KEY)
def test_a5_other_logs(message: str) -> None:
    for key in ("connection_logs", "health_check_logs"):
        assert message in refusal_of(with_balancer(f"{key}: true"))


@fact("A5", "Headers that listeners insert into responses", "refused", message=NO_KEY)
def test_a5_response_headers(message: str) -> None:
    assert message in refusal_of(with_listener('response_headers: {strict_transport_security: "max-age=1"}'))


@fact("A5", "Client certificates (mTLS)", "refused", message=NO_KEY)
def test_a5_client_certificates(message: str) -> None:
    assert message in refusal_of(with_listener("protocol: HTTPS, certificates: local, mutual_authentication: verify"))
