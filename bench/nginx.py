"""The opponents: nginx as somebody who read its documentation to the end sets it up, and as a beginner does."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import subprocess
from collections.abc import Iterator

from bench.machine import answers, children, program, wait_until

_COMMON = """
{user}pid {folder}/nginx.pid;
error_log {folder}/error.log;
daemon off;
worker_processes {workers};
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{http}
}}
"""

TUNED = """
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000;
  upstream app {{ {servers} keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Port $server_port;
    }}
  }}
"""
"""Kept connections to the targets, HTTP/1.1, the headers an application needs, no log."""

BEGINNERS = """
  access_log {folder}/access.log;
  upstream app {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://app; }}
  }}
"""
"""`proxy_pass` and nothing else, with the log that every package's nginx writes."""


@contextlib.contextmanager
def running(http: str, folder: str, port: int, targets: list[str], workers: str = "auto") -> Iterator[int]:
    """An nginx that takes requests on `port` for `targets` (`127.0.0.1:20001`); its master's pid."""
    os.makedirs(folder)
    path = f"{folder}/nginx.conf"
    servers = " ".join(f"server {target};" for target in targets)
    inner = http.format(folder=folder, port=port, servers=servers)
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
