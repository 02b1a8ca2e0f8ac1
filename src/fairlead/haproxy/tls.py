"""What HAProxy is told of certificates: where their files lie, which listener shows which, how one is replaced. Pure.

In: routings. Out: names and texts of files, lines of the configuration, runtime commands (haproxy.md section 8.5). One
folder holds all of it:

    ID.pem                    a certificate with its chain and key; ID stands for where it comes from, so it stays the
                              same when the content changes
    DIGEST/ADDRESS_PORT.list  the certificates of one endpoint, the default first; a name asked for by SNI chooses

The lists' folder is named by their content. So a configuration that names it says exactly which certificates it shows:
another set is another text, which only a reload can bring; a refused reload finds the lists of the present generation
as they were; and a node that comes back on a full disk need not write them again.

The law: no text of a certificate is in anything that this makes, except the one command that carries it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from fairlead.core.model import Certificate, Listener
from fairlead.core.traffic import Routing
from fairlead.errors import BalancerError
from fairlead.haproxy import words
from fairlead.haproxy.claims import Endpoint, endpoint_of
from fairlead.haproxy.commands import Command

LONGEST_PAYLOAD = 15_000
"""Bytes of a certificate that fit into a runtime command, whose buffer has 16 kB. A longer one takes a reload."""

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384"
)
"""Of TLS 1.2: those of an ALB's recommended policy, ELBSecurityPolicy-TLS13-1-2-2021-06."""

CIPHERSUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""Of TLS 1.3: of the same policy."""


_OTHER = re.compile(r"ongoing transaction is about '(.*)' but")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One certificate that a listener shows. listener: with that certificate alone, to ask for it."""

    id: str
    listener: Listener

    @property
    def file(self) -> str:
        """Where it comes from; "" for one of the development CA."""
        mine = self.listener.certificates
        return mine[0].file if isinstance(mine, tuple) else ""


def sources(listener: Listener) -> tuple[Source, ...]:
    """The certificates of `listener`, the default first; of HTTP there are none."""
    if listener.protocol != "HTTPS":
        return ()
    wanted: tuple[Certificate | Literal["local"], ...] = (
        listener.certificates if isinstance(listener.certificates, tuple) else ("local",)
    )
    found = (_source(listener, one) for one in wanted)
    return tuple({source.id: source for source in found}.values())


def _source(listener: Listener, certificate: Certificate | Literal["local"]) -> Source:
    if isinstance(certificate, Certificate):
        alone = replace(listener, certificates=(certificate,))
        return Source(id="file-" + _digest([certificate.file, certificate.key]), listener=alone)
    # Two listeners that name the same hosts may show the same one.
    hosts = sorted({host.lower() for rule in listener.rules for host in rule.when.hosts})
    return Source(id="local-" + _digest([listener.address, hosts]), listener=replace(listener, certificates="local"))


def all_sources(routings: Iterable[Routing]) -> tuple[Source, ...]:
    """Those of every listener, each once."""
    found = (source for routing in routings for listener in routing.listeners for source in sources(listener))
    return tuple({source.id: source for source in found}.values())


def lists(routings: Iterable[Routing]) -> dict[Endpoint, str]:
    """The list of each endpoint that speaks HTTPS. Of stacks that share one, first comes the one whose default takes
    what no host claims: its first certificate is for clients that name no host, or an unknown one."""
    found: dict[Endpoint, list[tuple[bool, str, Listener]]] = {}
    for routing in routings:
        for listener in routing.listeners:
            if sources(listener):
                found.setdefault(endpoint_of(listener), []).append((listener.default is None, routing.stack, listener))
    return {
        endpoint: "".join(f"{name}\n" for name in dict.fromkeys(_names_in_order(parts)))
        for endpoint, parts in found.items()
    }


def _names_in_order(parts: list[tuple[bool, str, Listener]]) -> list[str]:
    ordered = sorted(parts, key=lambda part: part[:2])
    return [pem_name(source.id) for _, _, listener in ordered for source in sources(listener)]


def lists_folder(folder: str, routings: Iterable[Routing]) -> str:
    """Where the lists of `routings` lie: what `Place.tls_folder` must be for them."""
    texts = sorted((endpoint, text) for endpoint, text in lists(routings).items())
    return f"{folder}/{_digest(texts)}" if texts else folder


def list_path(folder: str, endpoint: Endpoint) -> str:
    """The list of `endpoint`; folder: `Place.tls_folder`."""
    address, port = endpoint
    return f"{folder}/{words.ip(address, 'listener address').replace(':', '.')}_{port}.list"


def pem_name(source_id: str) -> str:
    """The file's name in the folder of all certificates. Lists name it so, since a path in them cannot be quoted."""
    return f"{source_id}.pem"


def global_lines(folder: str) -> list[str]:
    """What the global section of a configuration with HTTPS listeners says; folder: `Place.tls_folder`."""
    return [
        f"    crt-base {words.word(folder.rpartition('/')[0], 'folder of certificates')}",
        "    ssl-default-bind-options ssl-min-ver TLSv1.2",
        f"    ssl-default-bind-ciphers {CIPHERS}",
        f"    ssl-default-bind-ciphersuites {CIPHERSUITES}",
    ]


@dataclass(frozen=True, slots=True)
class TlsCommand(Command):
    """A command that may carry a private key: nothing shows its line."""

    line: str = field(repr=False)
    expected: str
    path: str = ""

    def judge(self, answer: str) -> None:
        """BalancerError unless `answer` says that it was done."""
        if self.expected not in answer:
            raise BalancerError(f"HAProxy does not take {self.path}", _said(answer) or "its answer is empty")


def begin(path: str, text: str) -> TlsCommand:
    """Hand over what `path` holds from the next `commit` on; nothing changes yet. text: without empty lines."""
    return TlsCommand(f"set ssl cert {_word(path)} <<\n{text.strip()}\n", "Transaction ", path)


def commit(path: str) -> TlsCommand:
    """From the next handshake on it is shown."""
    return TlsCommand(f"commit ssl cert {_word(path)}", "Success!", path)


def abort(path: str) -> str:
    """Forget what was handed over; the answer tells nothing that matters."""
    return f"abort ssl cert {_word(path)}"


def in_the_way(problem: BalancerError) -> str:
    """The path of another certificate that somebody has handed over and not committed: HAProxy takes one at a time. ""
    when that is not why `begin` failed."""
    found = _OTHER.search(problem.why)
    return found[1] if found else ""


def _said(answer: str) -> str:
    """On one line; the prompts of a payload are no words."""
    return "; ".join(answer.replace("+ ", "").strip().splitlines())[:500]


def _word(path: str) -> str:
    return words.runtime_word(path, "path of a certificate")


def _digest(value: object) -> str:
    text = json.dumps(value).encode()
    return hashlib.sha256(text).hexdigest()[:20]
