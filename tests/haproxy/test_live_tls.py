"""A real HAProxy speaks TLS: which certificate it shows, to whom it speaks, and how one is replaced under load."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509

from fairlead.aiokit.polling import wait_until
from fairlead.certificates.home import HomeCertificates
from fairlead.core.model import Certificate, Listener, Opening, Stickiness, forward_to
from fairlead.core.pem import Pem
from fairlead.core.traffic import BalancerReport, CertificateReport, Routing, Target, Traffic
from fairlead.drill.load import Load
from fairlead.errors import BalancerError, CertificateError
from fairlead.haproxy import presented, tls
from fairlead.haproxy.commands import Command
from fairlead.haproxy.node import HaproxyNode
from fairlead.haproxy.runtime import Runtime
from tests.certificates.builders import DAY, Made, a_listener, files, made, put
from tests.haproxy.apps import free_port
from tests.haproxy.builders import GROUP, a_check, a_group, a_guest, a_routing, a_rule
from tests.haproxy.worlds import RealWorld, admit

pytestmark = pytest.mark.live

PATIENCE = 20.0


class TlsWorld(RealWorld):
    """With a home's certificates, and one root that issues the files' ones."""

    def __init__(self, programs: str) -> None:
        super().__init__(programs)
        self.certs = Path(self.home) / "certs"
        self.certs.mkdir()
        self.root = made(ca=True, common="Root of the test")
        self.trusted = str(put(self.certs / "root.pem", self.root.pem))
        self.ca = f"{self.home}/ca"

    def node(self, folder: str = "", program: str | None = None) -> HaproxyNode:
        return HaproxyNode(
            folder=folder or self.folder, binary_override=program, programs=self._programs, log_path=self.log, home=self.home,
            user=self._user, fd_limit=4096, cpus=2, certificates=HomeCertificates(f"{self.home}/ca"),
        )  # fmt: skip

    def made(self, *names: str, **changes: Any) -> Made:
        return made(*names, issuer=self.root, **changes)

    def pair(self, name: str, one: Made) -> Certificate:
        return files(self.certs, one, name)

    def https(self, *certificates: Certificate, **changes: Any) -> Listener:
        return a_listener(*certificates, **{"port": self.port, **changes})

    async def serve(self, *listeners: Listener, **changes: Any) -> Routing:
        """As `up` does it: reserve, then configure."""
        routing = a_routing(**{"listeners": listeners, **changes})
        await self.balancer.reserve(routing.stack, routing.listeners)
        await self.balancer.configure(routing.stack, routing)
        return routing

    async def web(self, group: str = GROUP, number: int = 1) -> Target:
        target = await self.target(number, group=group)
        await admit(self, target)
        return target

    async def certificate(self, name: str = "", port: int = 0) -> x509.Certificate:
        """The one that a client is shown who asks for `name`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the machine's CAs, which take 30 ms to read
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port or self.port, ssl=context, server_hostname=name, ssl_shutdown_timeout=1
        )
        try:
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.transport.abort()
        return x509.load_der_x509_certificate(shown)

    async def until_shown(self, one: Made, name: str = "") -> None:
        """Observe, as the daemon does, until it is shown."""

        async def shown() -> bool:
            await self.balancer.observe()
            return await self.certificate(name) == one.certificate

        await wait_until(shown, PATIENCE, "the new certificate")

    async def reported(self, problem: str) -> CertificateReport:
        """Observe until a certificate's problem matches."""

        def holds(report: BalancerReport) -> bool:
            return any(re.search(problem, one.problem) for one in report.certificates)

        report = await self.until(holds, f"the problem {problem}")
        return next(one for one in report.certificates if re.search(problem, one.problem))


@pytest_asyncio.fixture
async def world(programs: str) -> AsyncIterator[TlsWorld]:
    world = TlsWorld(programs)
    await world.open()
    yield world
    await world.close()


def a_client(
    trusted: str, *, versions: Sequence[ssl.TLSVersion] = (), alpn: Sequence[str] = (), weak: bool = False
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trusted)
    if weak:
        context.set_ciphers("ALL:@SECLEVEL=0")
    for version in versions:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@dataclass
class Spoken:
    version: str
    alpn: str | None
    status: int
    scheme: str = ""


async def speak(world: TlsWorld, context: ssl.SSLContext, name: str) -> Spoken:
    """A handshake and a request in what was agreed on."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", world.port, ssl=context, server_hostname=name, ssl_shutdown_timeout=1
    )
    try:
        spoken = writer.get_extra_info("ssl_object")
        ask = _ask_h2 if spoken.selected_alpn_protocol() == "h2" else _ask_h1
        status = await asyncio.wait_for(ask(reader, writer, name), PATIENCE)
        return Spoken(spoken.version(), spoken.selected_alpn_protocol(), status)
    finally:
        writer.transport.abort()


async def _ask_h1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> int:
    writer.write(f"GET / HTTP/1.1\r\nhost: {name}\r\n\r\n".encode())
    return int((await reader.readline()).split()[1])


async def _ask_h2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> int:
    from h2.connection import H2Connection
    from h2.events import ResponseReceived

    connection = H2Connection()
    connection.initiate_connection()
    headers = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", name)]
    connection.send_headers(1, headers, end_stream=True)
    while True:
        writer.write(connection.data_to_send())
        for event in connection.receive_data(await reader.read(65536)):
            if isinstance(event, ResponseReceived):
                return int(dict(event.headers or ())[b":status"])


async def test_clients_are_spoken_to_in_tls_1_2_and_1_3_and_in_the_protocol_they_ask_for(world: TlsWorld) -> None:
    await world.serve(world.https(world.pair("shop", world.made("shop.test"))))
    target = await world.web()
    for version, called in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        spoken = await speak(world, a_client(world.trusted, versions=[version]), "shop.test")
        assert (spoken.version, spoken.alpn, spoken.status) == (called, None, 200)
    for asked, agreed in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["h2"], "h2")):
        spoken = await speak(world, a_client(world.trusted, alpn=asked), "shop.test")
        assert (spoken.alpn, spoken.status) == (agreed, 200)
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        old = a_client(world.trusted, versions=[ssl.TLSVersion.TLSv1_1], weak=True)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        await speak(world, old, "shop.test")
    seen = world.apps[target.id].requests[-1][1]
    assert (seen["x-forwarded-proto"], seen["x-forwarded-port"]) == ("https", str(world.port))


async def test_weak_ciphers_of_tls_1_2_are_refused(world: TlsWorld) -> None:
    await world.serve(world.https(world.pair("shop", world.made("shop.test", kind="rsa"))))
    context = a_client(world.trusted, versions=[ssl.TLSVersion.TLSv1_2])
    context.set_ciphers("AES256-SHA:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake failure"):
        await speak(world, context, "shop.test")


async def test_the_name_that_a_client_asks_for_chooses_among_three_and_the_first_is_the_default(
    world: TlsWorld,
) -> None:
    one, two, three = world.made("one.test"), world.made("two.test", kind="ed25519"), world.made("*.shop.test")
    await world.serve(world.https(*(world.pair(name, it) for name, it in zip("abc", (one, two, three), strict=True))))
    for name, expected in (
        ("one.test", one), ("two.test", two), ("www.shop.test", three), ("WWW.shop.test", three),
        ("shop.test", one), ("a.b.shop.test", one), ("elsewhere.test", one), ("", one),
    ):  # fmt: skip
        assert await world.certificate(name) == expected.certificate, name


async def test_the_development_ca_issues_for_a_local_listener(world: TlsWorld) -> None:
    await world.serve(world.https(hosts=("www.shop.test",)))
    await world.web()
    for name in ("localhost", "127.0.0.1", "www.shop.test"):
        assert (await speak(world, a_client(f"{world.ca}/ca.pem"), name)).status == 200


async def test_two_stacks_on_one_port_each_show_their_own(world: TlsWorld) -> None:
    shop, blog = world.made("shop.test"), world.made("blog.test")
    guest = world.https(world.pair("blog", blog), default=None, rules=(a_rule("web", hosts=("blog.test",)),))
    # The guest comes first, and by its name too; the default is that of the stack with a default.
    await world.serve(guest, stack="blog", check_token="token-of-blog")
    assert await world.certificate("") == blog.certificate
    await world.serve(world.https(world.pair("shop", shop)))
    await world.web()
    await world.web("blog.web", 2)
    for name, one in (("shop.test", shop), ("blog.test", blog), ("other.test", shop)):
        assert await world.certificate(name) == one.certificate
    for name in ("shop.test", "blog.test"):
        assert (await speak(world, a_client(world.trusted), name)).status == 200
    report = await world.balancer.observe()
    assert {(one.stack, one.names) for one in report.certificates} == {
        ("shop", ("shop.test",)), ("blog", ("blog.test",)),
    }  # fmt: skip
    await world.balancer.configure("shop", None)
    assert await world.certificate("shop.test") == blog.certificate


async def test_a_change_under_load_loses_nothing_and_is_shown_by_the_next_look_but_one(
    world: TlsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks are a second apart, so that is within two seconds on a machine that keeps up."""
    looks, real = [], HomeCertificates.of

    def counted(self: HomeCertificates, listener: Listener) -> tuple[Pem, ...]:
        looks.append(listener)
        return real(self, listener)

    monkeypatch.setattr(HomeCertificates, "of", counted)
    assert presented.PACE == 1.0
    old = world.made("shop.test")
    pair = world.pair("shop", old)
    await world.serve(world.https(pair))
    await world.web()
    pid = world.pid
    load = Load(
        f"https://127.0.0.1:{world.port}/", rate=100, tls=a_client(world.trusted), server_name="shop.test",
        headers={"host": "shop.test"},
    )  # fmt: skip
    took = []
    async with load:
        for _ in range(3):
            sent = load.report().sent
            new = world.made("shop.test")
            world.pair("shop", new)
            before = len(looks)
            await world.until_shown(new)
            took.append(len(looks) - before)
            await wait_until(partial(_reached, load, sent + 100), PATIENCE, "more requests")
    report = load.report()
    assert (report.lost, world.pid) == (0, pid), str(report)
    assert report.sent > 300
    # One look may have begun before both files were there, and one may begin while we ask.
    assert max(took) <= 3, took
    (shown,) = (await world.balancer.observe()).certificates
    assert (shown.file, shown.names, shown.problem) == (pair.file, ("shop.test",), "")


async def _reached(load: Load, sent: int) -> bool:
    return load.report().sent >= sent


async def test_a_dead_haproxy_a_reload_and_a_new_daemon_all_show_the_new_one(world: TlsWorld) -> None:
    new = world.made("shop.test")
    routing = await world.serve(world.https(world.pair("shop", world.made("shop.test"))))
    world.pair("shop", new)
    await world.until_shown(new)
    pid = world.pid
    await world.kill_node()
    await world.until(lambda report: report.known and report.nodes[0].pid != pid, "HAProxy back")
    assert await world.certificate() == new.certificate
    await world.serve(*routing.listeners, groups=(a_group(deregistration_delay=7.0),))
    assert await world.certificate() == new.certificate
    # While no daemon looks, the files change again, and then half of them once more.
    await world.balancer.close()
    newest = world.made("shop.test")
    world.pair("shop", newest)
    world.balancer = world.node()
    routing = a_routing(listeners=routing.listeners, groups=(a_group(deregistration_delay=7.0),))
    pid = world.pid
    await world.balancer.start(Traffic(routings=(routing,)))
    await world.until_shown(newest)
    assert world.pid == pid


async def test_a_daemon_that_was_killed_in_the_middle_of_a_change_is_in_nobodys_way(world: TlsWorld) -> None:
    await world.serve(world.https(world.pair("a", world.made("a.test")), world.pair("b", world.made("b.test"))))
    first = max(Path(world.folder, "tls").glob("*.pem"))
    (known,) = world.files.running().values()
    runtime = Runtime(world.files.runtime_socket(known.generation))
    (other,) = HomeCertificates("/nowhere").of(world.https(world.pair("other", world.made("other.test"))))
    await runtime.run([tls.begin(str(first), other.text)])
    runtime.close()
    for name in ("a", "b"):
        new = world.made(f"{name}.test")
        world.pair(name, new)
        await world.until_shown(new, f"{name}.test")


async def test_a_daemon_that_finds_a_broken_pair_goes_on_with_what_was_shown(world: TlsWorld) -> None:
    old = world.made("shop.test")
    routing = await world.serve(world.https(world.pair("shop", old)))
    await world.balancer.close()
    put(world.certs / "shop.pem", world.made("shop.test").pem)
    world.balancer = world.node()
    await world.balancer.start(Traffic(routings=(routing,)))
    await world.reported("do not belong together")
    assert await world.certificate() == old.certificate
    pid = world.pid
    await world.kill_node()
    report = await world.until(lambda report: report.known and report.nodes[0].pid != pid, "HAProxy back")
    assert (await world.certificate(), report.missing) == (old.certificate, ())


async def test_without_any_certificate_the_listener_is_missing_until_there_is_one(world: TlsWorld) -> None:
    new = world.made("shop.test")
    pair = world.pair("shop", new)
    os.unlink(pair.key)
    http = Listener(port=free_port(), default=world.https(pair).default)
    await world.balancer.start(Traffic(routings=(a_routing(listeners=(world.https(pair), http)),)))
    assert await world.listens(http.port)
    report = await world.balancer.observe()
    assert [(one.port, pair.key in one.why) for one in report.missing] == [(world.port, True)]
    with pytest.raises(OSError, match=r"."):
        await world.certificate()
    put(Path(pair.key), new.key_pem())
    await world.until(lambda report: not report.missing, "the listener")
    assert await world.certificate() == new.certificate


BAD = {
    "do not belong together": lambda world: put(world.certs / "shop.pem", world.made("shop.test").pem),
    "holds no private key": lambda world: put(world.certs / "shop.key", b"garbage"),
    "has expired": lambda world: world.pair("shop", world.made("shop.test", begins=-9 * DAY, ends=-DAY)),
    "is encrypted": lambda world: put(world.certs / "shop.key", world.made("shop.test").encrypted()),
    "cannot be read": lambda world: os.unlink(world.certs / "shop.pem"),
}


async def test_a_bad_replacement_leaves_the_old_one_and_is_told_once(
    world: TlsWorld, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presented, "PACE", 0.05)
    old, new = world.made("shop.test"), world.made("shop.test")
    await world.serve(world.https(world.pair("shop", old)))
    for problem, spoil in BAD.items():
        spoil(world)
        told = await world.reported(problem)
        assert (told.names, told.stack, told.port) == (("shop.test",), "shop", world.port)
        for _ in range(3):
            await world.balancer.observe()
        assert await world.certificate() == old.certificate
        assert len([one for one in caplog.records if problem in one.getMessage()]) == 1
        # A deployment is not refused for it, and a reload shows what was shown.
        await world.serve(
            world.https(Certificate(file=str(world.certs / "shop.pem"), key=str(world.certs / "shop.key")))
        )
        world.pair("shop", old)
        await world.until(lambda report: not report.certificates[0].problem, "no problem")
    world.pair("shop", new)
    await world.until_shown(new)
    await world.until(lambda report: not report.certificates[0].problem, "no problem")


async def test_one_that_expires_while_it_is_shown_goes_on_and_is_told(world: TlsWorld) -> None:
    short = world.made("shop.test", ends=DAY / 86_400 * 5)
    await world.serve(world.https(world.pair("shop", short)))
    await world.web()
    await world.reported("it has expired")
    assert await world.certificate() == short.certificate
    new = world.made("shop.test")
    world.pair("shop", new)
    await world.until_shown(new)


async def test_what_cannot_be_shown_is_refused_before_anything_is_held(world: TlsWorld) -> None:
    expired = world.pair("old", world.made("shop.test", begins=-9 * DAY, ends=-DAY))
    fits, other = world.made("shop.test"), world.made("shop.test")
    mixed = world.pair("mixed", fits)
    put(Path(mixed.key), other.key_pem())
    for pair, said in ((expired, "has expired"), (mixed, "do not belong together")):
        with pytest.raises(CertificateError, match=said) as caught:
            await world.balancer.reserve("shop", (world.https(pair),))
        assert caught.value.next_step
    assert world.pids == set()
    await world.serve(world.https(world.pair("shop", fits)))


async def test_one_that_haproxy_does_not_take_is_refused_in_its_words(
    world: TlsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HAProxy's judgement counts where ours let something pass."""
    pair = world.pair("shop", world.made("shop.test"))
    node = world.node()
    good = HomeCertificates("/nowhere").of

    def spoilt(self: object, listener: Listener) -> tuple[Any, ...]:
        (pem,) = good(listener)
        return (
            type(pem)(text=pem.text.replace("MI", "AA", 1), names=pem.names, expires_at=pem.expires_at, file=pem.file),
        )

    monkeypatch.setattr(HomeCertificates, "of", spoilt)
    with pytest.raises(CertificateError, match=r"HAProxy does not take it: .") as caught:
        await node.reserve("shop", (world.https(pair),))
    assert "BEGIN" not in str(caught.value) + caught.value.detail
    await node.close()


async def test_a_disk_that_hangs_holds_up_neither_the_node_nor_the_next_listener(
    world: TlsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, hangs, real = world.made("shop.test"), threading.Event(), HomeCertificates.of
    pair = world.pair("shop", old)
    await world.serve(world.https(pair))
    let_go = threading.Event()

    def hanging(self: HomeCertificates, listener: Listener) -> tuple[Pem, ...]:
        hangs.set()
        let_go.wait(PATIENCE)
        return real(self, listener)

    monkeypatch.setattr(HomeCertificates, "of", hanging)
    monkeypatch.setattr(presented, "READ_PATIENCE", 0.02)
    monkeypatch.setattr(presented, "DISK_PATIENCE", 0.05)
    await world.until(lambda _: hangs.is_set(), "the read that hangs")
    try:
        for _ in range(20):
            async with asyncio.timeout(5.0):
                assert (await world.balancer.observe()).known
        with pytest.raises(CertificateError, match=r"has not answered"):
            await world.balancer.reserve("blog", (world.https(world.pair("blog", old), port=free_port()),))
    finally:
        let_go.set()
    new = world.made("shop.test")
    world.pair("shop", new)
    await world.until_shown(new)


async def test_on_a_full_disk_haproxy_comes_back_and_shows_the_newest_as_soon_as_it_can(
    world: TlsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = world.pair("shop", world.made("shop.test"))
    await world.serve(world.https(pair))

    def full(path: str, *more: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(presented, "write_atomically", full)
    new = world.made("shop.test")
    world.pair("shop", new)
    await world.until_shown(new)
    pid = world.pid
    await world.kill_node()
    await world.until(lambda report: report.known and report.nodes[0].pid != pid, "HAProxy back")
    await world.until_shown(new)
    # What is shown is no reason to refuse another change, whatever has become of its file.
    os.unlink(pair.key)
    pid = world.pid
    await world.serve(world.https(pair), groups=(a_group(deregistration_delay=7.0),))
    assert world.pid != pid
    await world.until_shown(new)


async def test_a_file_that_trips_the_reader_is_a_problem_like_any_other(
    world: TlsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = world.made("shop.test")
    await world.serve(world.https(world.pair("shop", old)))

    def tripping(self: object, listener: Listener) -> tuple[Pem, ...]:
        raise RecursionError("a secret")

    monkeypatch.setattr(HomeCertificates, "of", tripping)
    told = await world.reported("RecursionError")
    assert "secret" not in told.problem
    assert await world.certificate() == old.certificate


async def test_a_chain_that_is_too_long_for_a_command_takes_a_reload(world: TlsWorld) -> None:
    issuer = world.root
    for number in range(18):
        issuer = made(ca=True, kind="rsa", issuer=issuer, common=f"Step {number}")
    await world.serve(world.https(world.pair("shop", made("shop.test", issuer=issuer))))
    pid, new = world.pid, made("shop.test", issuer=issuer)
    world.pair("shop", new)
    await world.until_shown(new)
    assert world.pid != pid
    pid = world.pid
    for _ in range(3):
        await world.balancer.observe()
    assert world.pid == pid


async def test_no_key_is_in_a_configuration_a_log_an_error_or_open_to_others(
    world: TlsWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    old, new = world.made("shop.test"), world.made("shop.test")
    await world.serve(world.https(world.pair("shop", old)), world.https(port=free_port()))
    world.pair("shop", new)
    await world.until_shown(new)
    put(world.certs / "shop.key", old.key_pem())
    await world.reported("do not belong together")
    with pytest.raises(BalancerError) as caught:
        await world.balancer.reserve("blog", (world.https(world.pair("blog", old)),))
    secrets = {line for one in (old, new) for line in one.key_pem().decode().splitlines() if len(line) > 20}
    report = await world.balancer.observe()
    told = f"{caplog.text} {report} {caught.value!r} {caught.value.detail}"
    for folder, _, names in os.walk(world.folder):
        for name in names:
            path = Path(folder) / name
            if path.suffix == ".pem":
                assert path.stat().st_mode & 0o777 == 0o600
            elif path.is_file():
                told += path.read_text()
    assert not [line for line in secrets if line in told]


async def test_what_is_no_longer_shown_does_not_stay_on_the_disk(world: TlsWorld) -> None:
    tls = Path(world.folder) / "tls"
    await world.serve(world.https(world.pair("one", world.made("one.test"))))
    await world.serve(world.https(world.pair("two", world.made("two.test"))))
    assert len(list(tls.glob("*.pem"))) == 1
    assert len(list(tls.glob("*/*.list"))) == 1
    await world.balancer.configure("shop", None)
    assert list(tls.iterdir()) == []


async def test_a_refused_reload_changes_nothing_of_what_is_shown(world: TlsWorld) -> None:
    one = world.made("one.test")
    routing = await world.serve(world.https(world.pair("one", one)))
    two = world.pair("two", world.made("two.test"))
    broken = a_routing(listeners=(world.https(two, address="127.0.0.1"),), groups=(a_group(name="web"),))
    program = world.balancer._keeper.program
    assert program is not None
    world.balancer._keeper.program = type(program)("/bin/false", program.version)
    with pytest.raises(BalancerError):
        await world.balancer.configure("shop", broken)
    world.balancer._keeper.program = program
    pid = world.pid
    await world.kill_node()
    await world.until(lambda report: report.known and report.nodes[0].pid != pid, "HAProxy back")
    assert await world.certificate() == one.certificate
    await world.restart_daemon(Traffic(routings=(routing,)))
    assert await world.certificate() == one.certificate


KINDS: dict[str, dict[str, Any]] = {
    "web": {},
    "sticky": {"stickiness": Stickiness(), "slow_start": 1.0},
    "app": {"stickiness": Stickiness(cookie="SESSION"), "algorithm": "least_outstanding_requests"},
    "bare": {"health_check": a_check(enabled=False), "stickiness": Stickiness()},
    "dice": {"algorithm": "weighted_random", "anomaly_mitigation": True},
    "tcp": {"health_check": a_check(protocol="TCP"), "slow_start": 1.0},
}
"""Groups of every kind that is kept in its own way."""


async def test_a_new_daemon_with_the_same_wishes_changes_nothing(
    world: TlsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = Opening(service="sticky", instance="shop-sticky-1", digest=hashlib.sha256(b"token").hexdigest())
    plain = Listener(port=free_port(), default=forward_to("web"))
    routing = await world.serve(
        world.https(world.pair("shop", world.made("shop.test"))), plain,
        Listener(port=free_port(), default=None, opening=opening),
        groups=tuple(a_group(name=name, **changes) for name, changes in KINDS.items()),
    )  # fmt: skip
    guest = a_guest(plain.port, "guest.test")
    await world.balancer.configure("blog", guest)
    there: list[Target] = []
    for name in KINDS:
        group = f"shop.{name}"
        serves, drains, sick = [await world.target(number, group=group) for number in (1, 2, 3)]
        await admit(world, serves) if name != "bare" else await let_in(world, serves)
        await admit(world, drains) if name != "bare" else await let_in(world, drains)
        await world.balancer.drain(group, drains.id)
        await world.sicken(sick)
        await world.balancer.register(sick)
        there += [replace(serves, mode="in_service"), replace(drains, mode="draining"), sick]
    ramped = {target.id for target in there if target.mode == "in_service"}
    await world.until(lambda seen: all(one.up for one in seen.targets if one.id in ramped), "all as they shall be")
    told: list[str] = []
    run = Runtime.run

    async def recorded(self: Runtime, commands: Sequence[Command]) -> None:
        told.extend(one.line for one in commands if not isinstance(one, tls.TlsCommand))
        await run(self, commands)

    monkeypatch.setattr(Runtime, "run", recorded)
    pid = world.pid
    for _ in range(2):
        await world.restart_daemon(Traffic(routings=(routing, guest), targets=tuple(there)))
        for _ in range(3):
            await world.balancer.observe()
        assert world.pids == {pid}, "no reload"
        # Whether round robin is exact nobody knows who was not there: it is made so again.
        levelled = {line.removesuffix(" weight 2") for line in told if line.endswith(" weight 2")}
        assert {line for line in told if not line.endswith(" weight 2")} == {f"{one} weight 1" for one in levelled}
        assert all(".dice" not in line and ".app" not in line for line in told), told
        told.clear()


async def let_in(world: TlsWorld, target: Target) -> None:
    """As the daemon does it where nothing is checked."""
    await world.balancer.register(target)
    await world.balancer.admit(target.group, target.id)
