"""What HAProxy is told of certificates: names that stay, lists that say what they hold, commands that keep secrets."""

from __future__ import annotations

import pytest

from fairlead.core.model import Certificate
from fairlead.errors import BalancerError
from fairlead.haproxy import tls
from fairlead.haproxy.tls import list_path, lists, lists_folder, sources
from tests.certificates.builders import a_listener
from tests.haproxy.builders import a_routing, a_rule

ONE, TWO = (Certificate(file=f"/etc/{name}.pem", key=f"/etc/{name}.key") for name in ("one", "two"))
HERE = ("127.0.0.1", 8443)
KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n"


def names(*routings: object) -> list[str]:
    return lists(routings)[HERE].split()  # type: ignore[arg-type]


def test_a_certificate_keeps_its_name_wherever_it_is_shown() -> None:
    first, second = sources(a_listener(ONE, TWO)), sources(a_listener(TWO, port=9443, hosts=("a.test",)))
    assert first[1].id == second[0].id
    assert first[0].id != first[1].id
    assert [source.listener.certificates for source in first] == [(ONE,), (TWO,)]


def test_another_key_is_another_certificate() -> None:
    (other,) = sources(a_listener(Certificate(file=ONE.file, key=TWO.key)))
    assert other.id not in {source.id for source in sources(a_listener(ONE, TWO))}


def test_a_local_one_has_a_name_of_its_own_for_each_set_of_hosts() -> None:
    ids = [
        sources(a_listener(hosts=hosts))[0].id
        for hosts in ((), ("a.test",), ("b.test", "a.test"), ("A.test", "b.test"))
    ]
    assert len(set(ids)) == 3
    assert ids[2] == ids[3]


def test_http_shows_none() -> None:
    assert sources(a_listener(protocol="HTTP", certificates=None)) == ()
    assert lists([a_routing()]) == {}
    assert lists_folder("/run/tls", [a_routing()]) == "/run/tls"


def test_of_stacks_on_one_port_the_one_with_the_default_comes_first_and_each_certificate_once() -> None:
    host = a_routing(listeners=(a_listener(TWO, ONE),))
    rules = (a_rule("web", hosts=("blog.test",)),)
    guest = a_routing(stack="blog", listeners=(a_listener(ONE, default=None, rules=rules),))
    one, two = (f"{source.id}.pem" for source in sources(a_listener(ONE, TWO)))
    assert names(host, guest) == names(guest, host) == [two, one]
    assert names(guest) == [one]


def test_the_lists_folder_changes_with_what_is_shown_and_with_nothing_else() -> None:
    def folder(*certificates: Certificate, **changes: object) -> str:
        return lists_folder("/run/tls", [a_routing(listeners=(a_listener(*certificates, **changes),))])

    assert folder(ONE) == folder(ONE, rules=(a_rule("web", paths=("/x",)),))
    assert len({folder(ONE), folder(TWO), folder(ONE, TWO), folder(TWO, ONE), folder(ONE, port=9443), folder()}) == 6


def test_an_address_of_ipv6_makes_a_name() -> None:
    assert list_path("/run/tls/x", ("::1", 8443)) == "/run/tls/x/..1_8443.list"
    with pytest.raises(BalancerError):
        list_path("/run/tls/x", ("../../etc", 1))


def test_a_command_shows_its_certificate_to_nobody() -> None:
    command = tls.begin("/run/a b/x.pem", KEY)
    assert command.line == f"set ssl cert /run/a\\ b/x.pem <<\n{KEY}"
    with pytest.raises(BalancerError) as caught:
        command.judge(
            "+ + unable to load certificate from file '/run/a b/x.pem': no start line.\nCan't load the payload\n"
        )
    why = "unable to load certificate from file '/run/a b/x.pem': no start line.; Can't load the payload"
    assert caught.value.why == why
    assert "MIGH" not in f"{command!r} {caught.value!r} {caught.value.detail}"


def test_only_the_whitelisted_answers_are_success() -> None:
    tls.begin("/x", KEY).judge("+ + Transaction created for certificate /x!")
    tls.begin("/x", KEY).judge("Transaction updated for certificate /x!")
    tls.commit("/x").judge("Committing /x.\nSuccess!")
    for answer in ("", "Committing /x.", "No ongoing transaction! !", "Can't commit /x!"):
        with pytest.raises(BalancerError):
            tls.commit("/x").judge(answer)
