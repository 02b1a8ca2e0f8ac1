"""The programs of the stories: small WSGI apps with nothing to install, and commands of a few lines."""

WELL = """
import os, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ["FAIRLEAD_INSTANCE"].encode() + b" says version 1\\n"]
"""

NEVER_STARTS = """
import sys
print("I cannot find my database", flush=True)
sys.exit(7)
"""

SERVER = """
import os, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status = 200
    def do_GET(self):
        body = b"ok\\n"
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *ignored): pass

class Server(ThreadingHTTPServer):
    request_queue_size = 128
    def handle_error(self, *ignored): pass

def serve(port=None):
    Server(("127.0.0.1", port or int(os.environ["PORT"])), Answer).serve_forever()
"""

DIES_AFTER_2_S = (
    SERVER
    + """
threading.Timer(2, lambda: os._exit(9)).start()
serve()
"""
)

IGNORES_PORT = (
    SERVER
    + """
serve(9)  # the story puts a free port here
"""
)

IGNORES_SIGTERM = (
    SERVER
    + """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
serve()
"""
)

FORKS = (
    SERVER
    + """
child = [sys.executable, "-c", "import time; time.sleep(3600)"]
subprocess.Popen(child)
subprocess.Popen(child, start_new_session=True)
serve()
"""
)

ANSWERS_503 = (
    SERVER
    + """
Answer.status = 503
print("the database is not there yet", flush=True)
serve()
"""
)
