"""An instance of the album on a port of loopback, in threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from ...live.house import a_free_port


class _Quiet(WSGIRequestHandler):
    def log(self, *ignored: Any) -> None:
        pass


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Its URL, without a slash at the end."""
    port = a_free_port()
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
