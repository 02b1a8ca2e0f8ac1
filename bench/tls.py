"""What TLS costs: full handshakes a second, and requests/s over kept connections, of fairlead's balancer and of nginx
with the same certificate (P-256), protocols and ciphers.

Handshakes: `openssl s_time -new`, which never resumes a session: each connection makes one request and is closed.
HTTP/1.1: wrk. HTTP/2: h2load, where it is installed. Both proxies must negotiate the same, or nothing is measured.
Neither proxy writes a log.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import statistics
import subprocess
import time
from collections.abc import Sequence

from bench import nginx
from bench.balancer import balancing
from bench.compare import CONNECTIONS, Proxy, Sample, Samples, Take, compare, ratio, wrk
from bench.machine import CannotMeasure, children, folder, free_port, note, program, programs
from bench.rules import a_file, some_targets

AT_ONCE = 4
"""Programs that shake hands at the same time."""

CLIENTS, STREAMS = 10, 10
"""HTTP/2 connections, and requests under way on each."""


def measure(rounds: int, seconds: float) -> bool:
    """Print the table; there are no bars."""
    programs("nginx", "wrk", "openssl")
    with contextlib.ExitStack() as everything:
        base = everything.enter_context(folder())
        files = _certificate(base)
        targets = everything.enter_context(some_targets(f"{base}/targets", 2))
        ours, theirs = free_port(), free_port()
        certificates = [dict(zip(("file", "key"), files, strict=True))]
        listener = {"port": ours, "protocol": "HTTPS", "certificates": certificates, "default": {"forward": "web"}}
        balanced = everything.enter_context(balancing(f"{base}/f{ours}", a_file(targets, listener)))
        opponent = nginx.running(nginx.secured(*files), f"{base}/n{theirs}", theirs, targets)
        master = everything.enter_context(opponent)
        compared = [
            Proxy("fairlead", ours, balanced.pids),
            Proxy("nginx", theirs, lambda: [master, *children(master)]),
        ]
        agreed = _agreed(compared)
        rows = [
            (name, compare(compared, take, rounds, seconds, f"tls: {name}"))
            for name, take in (("full handshakes", _handshakes), ("HTTP/1.1 requests", _requests), *_http2())
        ]
    _table(rows, agreed, rounds, seconds)
    return True


def _http2() -> list[tuple[str, Take]]:
    try:
        program("h2load")
    except CannotMeasure as problem:
        note(f"tls: HTTP/2 is not measured: {problem}")
        return []
    return [("HTTP/2 requests", _streams)]


def _certificate(base: str) -> tuple[str, str]:
    """(certificate, key): files of one for localhost, that it signed itself."""
    files = f"{base}/localhost.pem", f"{base}/localhost.key"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    given = [*words.split(), "-addext", "subjectAltName=DNS:localhost", "-out", files[0], "-keyout", files[1]]
    done = subprocess.run([program("openssl"), *given], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise CannotMeasure(f"openssl made no certificate: {done.stderr}")
    return files


def _agreed(compared: Sequence[Proxy]) -> str:
    """What all of them negotiate: `TLSv1.3, TLS_AES_256_GCM_SHA384`. CannotMeasure: they differ, in that or in the
    certificate."""
    found = {}
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for proxy in compared:
        with (
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            cipher = wrapped.cipher()
            found[proxy.name] = (wrapped.version(), cipher and cipher[0], wrapped.getpeercert(binary_form=True))
    if len(set(found.values())) != 1:
        raise CannotMeasure(f"the proxies do not speak the same TLS: {found}")
    version, name, _ = found[compared[0].name]
    return f"{version}, {name}"


def _handshakes(proxy: Proxy, seconds: float) -> Sample:
    """Full handshakes, each with a request. CannotMeasure: a client failed."""
    # It counts in whole seconds of the clock: the first of them has begun already.
    length = max(1, round(seconds)) + 1
    words = f"s_time -connect 127.0.0.1:{proxy.port} -new -time {length} -www /"
    command = [program("openssl"), *words.split()]
    began = time.monotonic()
    clients = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(AT_ONCE)
    ]
    try:
        said = [client.communicate(timeout=length + 30)[0] for client in clients]
    finally:
        for client in clients:
            client.kill()
    took = time.monotonic() - began
    counts = [re.search(r"(\d+) connections in \d+ real seconds, (\d+) bytes read per connection", one) for one in said]
    if not all(found and int(found[1]) and int(found[2]) >= len(nginx.ANSWER) for found in counts):
        raise CannotMeasure(f"openssl s_time against {proxy.name}: {said[0][-500:]}")
    count = sum(int(found[1]) for found in counts if found)
    return Sample(count / took, count)


def _requests(proxy: Proxy, seconds: float) -> Sample:
    return wrk(proxy.name, f"https://127.0.0.1:{proxy.port}/", seconds)


def _streams(proxy: Proxy, seconds: float) -> Sample:
    """HTTP/2. CannotMeasure: some were not answered with 2xx, or not over HTTP/2."""
    length = max(1, round(seconds))
    url = f"https://127.0.0.1:{proxy.port}/"
    command = [program("h2load"), f"-c{CLIENTS}", f"-m{STREAMS}", f"-D{length}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=length + 30, check=False)
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", done.stdout)
    if not rate or not codes or not int(codes[1]) or any(map(int, codes.groups()[1:])) or " h2" not in done.stdout:
        raise CannotMeasure(f"h2load against {proxy.name}: {done.stdout + done.stderr}")
    return Sample(float(rate[1]), int(codes[1]))


def _table(rows: list[tuple[str, list[Samples]]], agreed: str, rounds: int, seconds: float) -> None:
    print(
        f"TLS ({agreed}, a certificate of P-256), fairlead against nginx with the same:\n"
        f"handshakes of {AT_ONCE} clients with a request each; wrk with {CONNECTIONS} kept connections; "
        f"{CLIENTS} HTTP/2 connections with {STREAMS} requests at once;\n"
        f"{os.cpu_count()} cores shared by all, {rounds} interleaved rounds of 2 x {seconds:g} s, medians"
    )
    print(
        f"  {'':18} {'a second':>9} {'of nginx':>9} {'fairlead is':>18} {'CPU of one':>12} {'fairlead is':>18}"
        f" {'p99':>9} {'fairlead is':>18}"
    )
    for name, (ours, theirs) in rows:
        rate, other, cost = map(statistics.median, (ours.rates, theirs.rates, ours.costs))
        print(
            f"  {name:18} {rate:9,.0f} {other:9,.0f} {ratio(ours.rates, theirs.rates)[1]:>18}"
            f" {cost:9.1f} us {ratio(ours.costs, theirs.costs)[1]:>18}",
            end="",
        )
        if ours.p99s:
            print(f" {statistics.median(ours.p99s) * 1000:6.1f} ms {ratio(ours.p99s, theirs.p99s)[1]:>18}", end="")
        print()
    if len(rows) < 3:
        print("  HTTP/2: not measured, h2load is not installed. Run: sudo apt install nghttp2-client")
    print()
