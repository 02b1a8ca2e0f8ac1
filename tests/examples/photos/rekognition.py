"""An HTTP server that plays Amazon Rekognition's DetectLabels, from its API reference: answers, errors, silence."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LABELS = [
    {"Name": "Person", "Confidence": 99.12345, "Instances": [], "Parents": []},
    {"Name": "Smile", "Confidence": 71.5, "Instances": [], "Parents": [{"Name": "Person"}]},
]


class FakeRekognition:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        """Of each request: key id, region, service, target, and the picture that came."""
        self.status, self.answer = 200, json.dumps({"Labels": LABELS, "LabelModelVersion": "3.0"})
        self.hangs_up = False
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                scope = self.headers["Authorization"].split("Credential=")[1].split(",")[0].split("/")
                asked = {"key_id": scope[0], "region": scope[2], "service": scope[3]}
                asked |= {"target": self.headers["X-Amz-Target"], "body": body}
                fake.asked.append({**asked, "picture": base64.b64decode(body["Image"]["Bytes"])})
                if fake.hangs_up:
                    self.close_connection = True
                    return
                answer = fake.answer.encode()
                self.send_response(fake.status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *ignored: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def fails(self, status: int, kind: str) -> None:
        self.status, self.answer = status, json.dumps({"__type": kind, "message": f"{kind}, as an example"})


@contextmanager
def a_rekognition() -> Iterator[FakeRekognition]:
    fake = FakeRekognition()
    thread = threading.Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield fake
    finally:
        fake.server.shutdown()
        thread.join(10)
        fake.server.server_close()
