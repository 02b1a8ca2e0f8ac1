"""An instance of the benchmark: becomes one nginx that answers every request with the same 300 bytes.

Called as `serve.py PORT NGINX`; its files lie in HOME, the instance's own folder.
"""

import os
import sys

port, program = sys.argv[1:]
home = os.environ["HOME"]
temporary = " ".join(
    f"{name}_temp_path {home}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
with open(f"{home}/nginx.conf", "w") as file:
    file.write(f"""
pid {home}/nginx.pid; error_log stderr; daemon off; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000; {temporary}
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{"x" * 300}"; }} }}
}}
""")
os.execv(program, [program, "-p", home, "-e", "stderr", "-c", f"{home}/nginx.conf"])  # noqa: S606
