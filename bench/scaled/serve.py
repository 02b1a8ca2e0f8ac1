"""An instance of the scaling benchmark: answers any GET at once; `/work` after 2 ms of one core, `/slow` after 200 ms.

Called as `serve.py PORT`. It says when its process began and when it listened, in seconds since 1970.
"""

import asyncio
import os
import sys
import time

WORK, SLOW = 0.002, 0.2

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


class Served(asyncio.Protocol):
    """One connection; whoever is asked for on it waits for nobody else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while b"\r\n\r\n" in self._read:
            head, _, self._read = self._read.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if path == b"/slow":
                asyncio.get_running_loop().call_later(SLOW, self._transport.write, ANSWER)
                continue
            if path == b"/work":
                done = time.thread_time() + WORK
                while time.thread_time() < done:
                    pass
            self._transport.write(ANSWER)


def began() -> float:
    """When this process began, which was before Python did."""
    with open("/proc/self/stat") as stat:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    print(f"began {began():.3f} listening {time.time():.3f}", flush=True)
    await server.serve_forever()


asyncio.run(main())
