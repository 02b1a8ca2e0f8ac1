"""Load for a service, with nothing but Python: so many requests a second, in stages, and a line a second of what came.

    python load.py                              the default stages, against http://127.0.0.1:8080/api
    python load.py --stages 100x10,400x30       100 requests a second for 10 seconds, then 400 for 30

A request leaves when it is due, whether or not earlier ones were answered, and its time counts from then: a service
that is slow gets no less to do, and looks no better. Lost is what was not answered with 200 within ten seconds; nothing
is sent twice. The exit status is 1 when a request was lost.
"""

import argparse
import asyncio
import sys
from collections import Counter
from datetime import UTC, datetime
from urllib.parse import urlsplit

PATIENCE = 10.0
"""Seconds after which a request that was not answered is lost."""
CONNECTIONS = 64
"""How many are kept open, and used again and again."""
STAGES = "50x15,250x20,700x40,50x45"
HEADING = "UTC       asked/s  answered/s  instances  p50 ms  p95 ms  waiting    lost"


class Load:
    """Sends requests as they fall due, and counts what came of them."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        self.due: asyncio.Queue[float] = asyncio.Queue()
        self.asked = self.answered = self.lost = self.told = 0
        self.problems: Counter[str] = Counter()
        # Since the last line:
        self.times: list[float] = []
        self.instances: Counter[str] = Counter()

    async def run(self, stages: list[tuple[float, float]]) -> None:
        """Each stage for its time, until the last request has ended."""
        tasks = [asyncio.create_task(self.client()) for _ in range(CONNECTIONS)]
        tasks.append(asyncio.create_task(self.watch()))
        for rate, seconds in stages:
            await self.ask(rate, seconds)
        await self.due.join()
        for task in tasks:
            task.cancel()

    async def ask(self, rate: float, seconds: float) -> None:
        """`rate` requests a second fall due."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(round(rate * seconds)):
            due = began + number / rate
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            self.asked += 1
            self.due.put_nowait(due)

    async def client(self) -> None:
        """One request after the other, over one connection while it lasts."""
        streams = None
        while True:
            due, head = await self.due.get(), "connection: close"
            try:
                async with asyncio.timeout_at(due + PATIENCE):
                    if streams is None or streams[0].at_eof():
                        streams = await asyncio.open_connection(self.host, self.port)
                    streams[1].write(self.request)
                    head = await answer_of(streams[0])
                self.count(due, head)
            except (OSError, EOFError, TimeoutError) as problem:
                self.lose(type(problem).__name__)
            if streams and "connection: close" in head:
                streams[1].close()
                streams = None
            self.due.task_done()

    def count(self, due: float, head: str) -> None:
        status = head.split(maxsplit=2)[1]
        if status != "200":
            return self.lose(status)
        self.answered += 1
        self.times.append(asyncio.get_running_loop().time() - due)
        self.instances[field(head, "x-instance")] += 1
        return None

    def lose(self, why: str) -> None:
        self.lost += 1
        self.problems[why] += 1

    async def watch(self) -> None:
        """A line a second."""
        print(HEADING)
        while True:
            await asyncio.sleep(1 - datetime.now(UTC).microsecond / 1e6)
            print(self.line(), flush=True)

    def line(self) -> str:
        """What came since the last line."""
        times = sorted(self.times)
        p50, p95 = (f"{1000 * times[int(len(times) * part)]:7.1f}" if times else "      -" for part in (0.5, 0.95))
        asked, waiting = self.asked - self.told, self.asked - self.answered - self.lost
        now = f"{datetime.now(UTC):%H:%M:%S}"
        text = f"{now} {asked:8} {len(times):11} {len(self.instances):10} {p50} {p95} {waiting:8} {self.lost:7}"
        self.told = self.asked
        self.times.clear()
        self.instances.clear()
        return text

    def summary(self) -> str:
        why = ", ".join(f"{count} x {what}" for what, count in self.problems.most_common())
        return f"{self.answered} requests answered, {self.lost} lost" + (f": {why}" if why else "")


async def answer_of(reader: asyncio.StreamReader) -> str:
    """The head of one answer, in lower case; its body is read and thrown away."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    await reader.readexactly(int(field(head, "content-length") or 0))
    return head


def field(head: str, name: str) -> str:
    """The value of a field of a head in lower case; "" when it has none."""
    return head.partition(f"\r\n{name}:")[2].partition("\r\n")[0].strip()


def stages(text: str) -> list[tuple[float, float]]:
    """`200x10,800x30` as [(200.0, 10.0), (800.0, 30.0)]; ValueError when it is not written so."""
    found = [(float(rate), float(seconds)) for rate, seconds in (stage.split("x") for stage in text.split(","))]
    if any(rate <= 0 or seconds <= 0 for rate, seconds in found):
        raise ValueError(text)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="So many requests a second, in stages.")
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8080/api")
    parser.add_argument("--stages", type=stages, default=STAGES, help=f"RATExSECONDS,... (default {STAGES})")
    given = parser.parse_args()
    load = Load(given.url)
    try:
        asyncio.run(load.run(given.stages))
    except KeyboardInterrupt:
        print()
    print(load.summary())
    return 1 if load.lost else 0


if __name__ == "__main__":
    sys.exit(main())
