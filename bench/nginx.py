"""The opponents: nginx as somebody who read its documentation to the end sets it up, and as a beginner does."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import subprocess
from collections.abc import Iterator, Sequence

from bench.machine import answers, children, program, wait_until
from fairlead.haproxy.tls import CIPHERS, CIPHERSUITES

_COMMON = """
{user}pid {folder}/nginx.pid;
error_log {folder}/error.log;
daemon off;
worker_processes {workers};
events {{ worker_connections 16384; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{http}
}}
"""

_UPSTREAM = """
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000;
  upstream app {{ {servers} keepalive {kept}; keepalive_requests 1000000; }}
"""

_FORWARD = """
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Port $server_port;
"""

TUNED = f"""{_UPSTREAM}
  server {{{{
    listen 127.0.0.1:{{port}} backlog=4096;
    access_log {{folder}}/access.log;
    location / {{{{ {_FORWARD} }}}}
  }}}}
"""
"""Kept connections to the targets, HTTP/1.1, the headers an application needs; and a log, since fairlead writes one."""

BEGINNERS = """
  access_log {folder}/access.log;
  upstream app {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://app; }}
  }}
"""
"""`proxy_pass` and nothing else, with the log that every package's nginx writes."""

ANSWER = "x" * 300


def ruled(rules: Sequence[tuple[str, str]]) -> str:
    """TUNED, for (host, path) pairs: a server for each host, a location for its path; everything else gets 404."""
    servers = "".join(
        f"""
  server {{{{
    listen 127.0.0.1:{{port}};
    server_name {host};
    location {path} {{{{ {_FORWARD} }}}}
    location / {{{{ return 404; }}}}
  }}}}"""
        for host, path in rules
    )
    return f"""{_UPSTREAM} server_names_hash_max_size 4096;
  server {{{{ listen 127.0.0.1:{{port}} default_server backlog=4096; return 404; }}}} {servers}
"""


def secured(certificate: str, key: str) -> str:
    """TUNED, over TLS and HTTP/2, with the protocols and ciphers of fairlead."""
    return f"""{_UPSTREAM}
  server {{{{
    listen 127.0.0.1:{{port}} ssl http2 backlog=4096;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on;
    ssl_ciphers {CIPHERS}; ssl_conf_command Ciphersuites {CIPHERSUITES};
    location / {{{{ {_FORWARD} }}}}
  }}}}
"""


def answering(addresses: Sequence[str]) -> str:
    """Not a proxy: targets at all these addresses (`127.0.0.1:20001`), each request answered with 300 bytes."""
    listens = " ".join(f"listen {address} backlog=4096;" for address in addresses)
    return f"""
  access_log off; keepalive_requests 1000000;
  server {{{{ {listens} location / {{{{ return 200 "{ANSWER}"; }}}} }}}}
"""


@contextlib.contextmanager
def running(http: str, folder: str, port: int, targets: Sequence[str] = (), workers: str = "auto") -> Iterator[int]:
    """An nginx that takes requests on `port` for `targets` (`127.0.0.1:20001`); its master's pid."""
    os.makedirs(folder)
    path = f"{folder}/nginx.conf"
    servers = " ".join(f"server {target};" for target in targets)
    # Round robin comes back to a target after all others: its connection is kept until then.
    kept = max(64, 2 * len(targets))
    inner = http.format(folder=folder, port=port, servers=servers, kept=kept)
    with open(path, "w") as file:
        file.write(_COMMON.format(folder=folder, user=_user(), workers=workers, http=inner))
    command = [program("nginx"), "-p", folder, "-e", f"{folder}/error.log", "-c", path]
    master = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port) and bool(children(master.pid)), f"nginx listens on port {port}")
        yield master.pid
    finally:
        master.terminate()
        try:
            master.wait(10)
        except subprocess.TimeoutExpired:
            master.kill()
            master.wait(10)


def _user() -> str:
    """Workers of a root's nginx run as nobody, like those of the package."""
    if os.geteuid() != 0:
        return ""
    nobody = pwd.getpwnam("nobody")
    return f"user nobody {grp.getgrgid(nobody.pw_gid).gr_name};\n"
