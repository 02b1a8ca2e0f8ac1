"""The way to a server, which can be cut at any word of a conversation: a TCP relay on loopback.

A conversation is counted in turns: a turn begins when the client speaks after the server has (or first of all). Cut
`before` a turn, the server never hears it; cut `after` it, the server has heard it and the client never gets the answer.
From then on every connection is closed at once, until `mend`. Frozen, it takes connections and whatever is said, and no
answer comes; `mend` ends these.
"""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from typing import Literal

When = Literal["before", "after"]


class Wire:
    def __init__(self, port: int) -> None:
        """port: the server's, on 127.0.0.1."""
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._cut_at: tuple[int, When] | None = None
        self.turns = 0
        self.callers = 0
        """Connections that were asked for, in vain or not."""
        self.is_down = False
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Now."""
        with self._lock:
            self.is_down = True
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def cut_at(self, turn: int, when: When) -> None:
        """At the turn of that number, from now on."""
        with self._lock:
            self.turns, self._cut_at = 0, (turn, when)

    def freeze(self) -> None:
        """Now."""
        self._flows.clear()

    def mend(self) -> None:
        self._flows.set()
        with self._lock:
            self.is_down, self._cut_at, self.turns = False, None, 0

    def close(self) -> None:
        self._flows.set()
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.callers += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self.is_down:
                return
            with socket.create_connection(("127.0.0.1", self._server), timeout=10) as server:
                server.settimeout(None)
                with self._lock:
                    self._open |= {client, server}
                try:
                    self._relay(client, server)
                finally:
                    with self._lock:
                        self._open -= {client, server}

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        turn, client_spoke = 0, False
        while True:
            for one in select.select([client, server], [], [])[0]:
                data = one.recv(65536)
                if not data:
                    return
                if one is client and not client_spoke:
                    turn = self._begin()
                client_spoke_before, client_spoke = client_spoke, one is client
                if not self._flows.is_set():
                    self._flows.wait()
                    return
                is_answer = one is server and client_spoke_before
                if self._is_due(turn, "before") if one is client else is_answer and self._is_due(turn, "after"):
                    self.cut()
                if self.is_down:
                    return
                (server if one is client else client).sendall(data)

    def _begin(self) -> int:
        with self._lock:
            self.turns += 1
            return self.turns

    def _is_due(self, turn: int, when: When) -> bool:
        return self._cut_at == (turn, when)
