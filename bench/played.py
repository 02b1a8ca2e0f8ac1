"""An ipstack that is none, in a process of its own: it answers every address after a while, and counts.

`Played` starts it; `python -m bench.played SECONDS` is what is started: it prints its port, and at the end of its stdin
how often it was asked; a line on stdin has it print that, too.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

PLACE = {
    "type": "ipv4", "country_code": "US", "country_name": "United States", "region_name": "California",
    "city": "Los Angeles", "latitude": 34.0453, "longitude": -118.2413,
}  # fmt: skip


class Played:
    """Runs while the `with` block lasts. delay: seconds before each answer."""

    def __init__(self, delay: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.played", str(delay)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = f"http://127.0.0.1:{self._told()}"

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def calls(self) -> int:
        """So far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._told()

    def _told(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


async def _serve(delay: float) -> None:
    calls = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                calls += 1
                ip = head.split(b" ", 2)[1].partition(b"?")[0].lstrip(b"/").decode()
                await asyncio.sleep(delay)
                body = json.dumps({"ip": ip, **PLACE}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(calls, flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
