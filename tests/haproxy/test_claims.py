"""Who may share a port with whom, and what the refusal says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.model import Conditions, Listener, Opening, Redirect, Rule, forward_to
from fairlead.errors import PortInUse
from fairlead.haproxy.claims import Claims, hosts_of
from tests.haproxy.builders import a_rule

MINE = Listener(port=8080, default=forward_to("web"))
GUEST = Listener(port=8080, default=None, rules=(a_rule("web", hosts=("blog.test",)),))
OPENED = Listener(port=8080, default=None, opening=Opening(service="web", instance="web-1", digest="0" * 64))


def claims(*held: tuple[str, Listener]) -> Claims:
    found = Claims()
    for stack, listener in held:
        found.add(stack, listener)
    return found


def test_stacks_share_a_port_by_host_on_either_protocol() -> None:
    for protocol in ("HTTP", "HTTPS"):
        shared = claims(("shop", replace(MINE, protocol=protocol)), ("blog", replace(GUEST, protocol=protocol)))
        assert shared.stacks(("127.0.0.1", 8080)) == ["blog", "shop"]


@pytest.mark.parametrize(
    ("held", "wanted", "words"),
    [
        (replace(MINE, protocol="HTTPS"), GUEST, ("stack shop speaks HTTPS", "stack blog would speak HTTP", "fairlead down shop")),
        (MINE, replace(GUEST, protocol="HTTPS"), ("stack shop speaks HTTP there", "stack blog would speak HTTPS")),
        (OPENED, GUEST, ("stack shop opens one of its instances", "stack blog")),
        (GUEST, OPENED, ("stack blog opens one of its instances", "stack shop")),
        (MINE, MINE, ("stack shop has a default there", "stack blog")),
        (GUEST, GUEST, ("stack shop claims host blog.test", "stack blog")),
    ],
)  # fmt: skip
def test_what_cannot_be_shared_names_both(held: Listener, wanted: Listener, words: tuple[str, ...]) -> None:
    kept = claims(("shop", held))
    with pytest.raises(PortInUse) as refusal:
        kept.add("blog", wanted)
    said = f"{refusal.value.sentence} {refusal.value.next_step}"
    assert all(word in said for word in (*words, "8080"))
    assert kept.stacks(("127.0.0.1", 8080)) == ["shop"]


def test_a_host_is_claimed_by_any_rule_that_names_it_whatever_else_it_asks_or_does() -> None:
    rules = (
        a_rule("web", hosts=("A.test",), paths=("/x",)),
        Rule(when=Conditions(hosts=("b.test",), methods=("GET",)), then=Redirect(status=301, host="c.test")),
        a_rule("web", hosts=("a.test",)),
    )
    assert hosts_of(replace(GUEST, rules=rules)) == ("a.test", "b.test")
