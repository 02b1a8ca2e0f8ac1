"""What HAProxy says of a configuration, and where one lives in the tests."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import trustme

from fairlead.core.traffic import Target
from fairlead.haproxy.render import Place
from fairlead.haproxy.servers import Member

TLS = "/run/fl/tls"
MAPS = f"{TLS}/maps"

PLACE = Place(
    runtime_socket="/run/fl/haproxy.7.sock",
    pidfile="/run/fl/haproxy.7.pid",
    state_file="/run/fl/state",
    tls_folder=f"{TLS}/now",
    fd_limit=20000,
    threads=1,
)


@cache
def certificate() -> str:
    """PEM of one for localhost, its key with it."""
    return trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.bytes().decode()


def members(*targets: Target) -> list[Member]:
    return [Member(target=target) for target in targets]


def verdict(haproxy: str, text: str, endpoints: tuple[str, ...] = (), maps: Mapping[str, str] | None = None) -> str:
    """ "" when HAProxy accepts it, else what it says. endpoints: `ADDRESS_PORT` of listeners that need certificates; maps:
    by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.cfg")
        path.write_text(text.replace(TLS, folder))
        Path(folder, "now").mkdir()
        Path(folder, "maps").mkdir()
        for name, table in (maps or {}).items():
            Path(folder, "maps", name).write_text(table)
        for endpoint in endpoints:
            Path(folder, "a.pem").write_text(certificate())
            Path(folder, f"now/{endpoint}.list").write_text("a.pem\n")
        asked = subprocess.run([haproxy, "-c", "-f", path], capture_output=True, text=True, check=False)
    return "" if asked.returncode == 0 else asked.stderr
