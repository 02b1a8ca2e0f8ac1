"""Which certificates the node shows, and how one that has changed takes its predecessor's place.

In: the listeners that are wanted, what `Certificates` gives for them now, HAProxy's runtime socket. Out: the files that
a HAProxy starts on (`tls`), a running one made to show the new ones without a reload, and reports.

The law: a certificate that works is never given up for one that does not. What cannot be read, does not fit its key,
has expired while the present one has not, or is refused by HAProxy, is told, and the present one goes on; also across a
restart of the daemon, out of the file that it was written to. HAProxy judges a new one before the file changes, the
file changes before HAProxy shows it: so a HAProxy that dies in between comes back with one that works.

Called under the node's lock. No text of a certificate is logged or put into an error.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime

from fairlead.aiokit.atomic import write_atomically
from fairlead.core.model import Listener
from fairlead.core.pem import Pem
from fairlead.core.traffic import CertificateReport, Routing
from fairlead.errors import BalancerError, CertificateError
from fairlead.haproxy import tls
from fairlead.haproxy.base import Certificates
from fairlead.haproxy.program import Program
from fairlead.haproxy.runtime import Runtime
from fairlead.haproxy.tls import Source
from fairlead.haproxy.trial import objection

log = logging.getLogger(__name__)

PACE = 1.0
"""Seconds between two looks at the files."""

READ_PATIENCE = 1.0
"""Seconds that a look waits for a disk; what comes later is seen by the next one."""

DISK_PATIENCE = 10.0
"""Seconds that a start or an `up` waits for one."""

Readings = dict[str, Pem | CertificateError]
"""By source: the certificate that lies there now, or what is wrong with it."""


class NoCertificates:
    """For a node that only serves HTTP."""

    def of(self, listener: Listener) -> tuple[Pem, ...]:
        raise CertificateError(f"port {listener.port} cannot speak HTTPS", "this balancer was given no certificates")


class Presented:
    """See the module. folder: where the files of `tls` are written, made when needed."""

    def __init__(self, folder: str, certificates: Certificates) -> None:
        self._folder, self._certificates = folder, certificates
        self._good: dict[str, Pem] = {}
        """What is to be shown, by source."""
        self._written: dict[str, str] = {}
        self._held: dict[str, str] = {}
        """Texts: in the files, and in the present HAProxy as far as that is known."""
        self._refused: dict[str, str] = {}
        """Texts that HAProxy did not take."""
        self._problems: dict[str, str] = {}
        self._reading: asyncio.Task[Readings] | None = None
        self._read_at = -PACE

    async def vet(self, listeners: Iterable[Listener], program: Program | None) -> None:
        """CertificateError when one of them cannot be shown; nothing has changed then. One that is shown already is no
        reason: whatever has become of its file, it goes on."""
        asked = [source for listener in listeners for source in tls.sources(listener)]
        found: dict[str, Pem] = {}
        for source_id, reading in (await self._read_in_time(asked)).items():
            if source_id in self._good and (source_id in self._written or source_id in self._held):
                continue  # the next look takes it over
            if isinstance(reading, CertificateError):
                raise reading
            if _expired(reading):
                raise CertificateError(
                    f"{reading.file or 'the certificate'} has expired", f"it was valid until {reading.expires_at}",
                    "renew it, and run the command again",
                )  # fmt: skip
            found[source_id] = reading
        if found and program is not None:
            await self._ask(program, found)
        self._good |= found
        for source_id in found:
            self._problems.pop(source_id, None)

    async def gather(self, routings: Iterable[Routing]) -> None:
        """Get every certificate that is not there yet, from where it lies or from what was shown before; `missing`
        tells what could not be had."""
        absent = [source for source in tls.all_sources(routings) if source.id not in self._good]
        for source_id, reading in (await self._read_in_time(absent)).items():
            before = self._recall(source_id)
            if isinstance(reading, Pem) and (before is None or not _expired(reading)):
                self._good[source_id] = reading
                self._tell(source_id, "")
                continue
            self._tell(source_id, _why(reading))
            if before is not None:
                self._good[source_id] = before

    def missing(self, listener: Listener) -> str:
        """Why `listener` cannot be served; "" when it can."""
        absent = (source.id for source in tls.sources(listener) if source.id not in self._good)
        return "; ".join(self._problems.get(source_id, "its certificate was not read") for source_id in absent)

    async def lay_out(self, routings: Collection[Routing]) -> None:
        """Write what a HAProxy that serves `routings` reads at its start, as far as it does not lie there. On a full
        disk an older certificate will do: it is replaced by the next look. BalancerError when there is none."""
        texts = tls.lists(routings)
        if not texts:
            return
        folder = tls.lists_folder(self._folder, routings)
        try:
            await asyncio.to_thread(self._write_lists, folder, {tls.list_path(folder, at): texts[at] for at in texts})
            for source in tls.all_sources(routings):
                await asyncio.to_thread(self._write_if_possible, source.id, self._good[source.id])
        except OSError as problem:
            raise BalancerError(f"{folder} cannot be written", problem.strerror or str(problem)) from problem
        except KeyError as problem:
            raise CertificateError("a listener cannot be served", "its certificate is not there") from problem

    def begun(self, routings: Collection[Routing]) -> None:
        """A HAProxy that serves `routings` has started on the files: whatever else lies there can go."""
        used = {source.id for source in tls.all_sources(routings)}
        self._held = {source_id: text for source_id, text in self._written.items() if source_id in used}
        self._good = {source_id: pem for source_id, pem in self._good.items() if source_id in used}
        self._written = dict(self._held)
        kept = {os.path.basename(tls.lists_folder(self._folder, routings)), *map(tls.pem_name, used)}
        with suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                if not used or name not in kept:
                    _remove(f"{self._folder}/{name}")

    def adopted(self) -> None:
        """A HAProxy goes on that an earlier daemon started: the next look hands it every certificate anew."""
        self._held = {}

    async def look(self, routings: Collection[Routing], runtime: Runtime) -> bool:
        """See whether files have changed, and have HAProxy show what they hold now. True: that takes a reload."""
        wanted = tls.all_sources(routings)
        if not wanted:
            return False
        reload = False
        readings = await self._readings(wanted)
        for source in wanted:
            reading = readings.get(source.id)
            if isinstance(reading, CertificateError):
                self._tell(source.id, _why(reading))
            elif reading is not None and reading.text == self._refused.get(source.id):
                pass  # told already
            elif reading is not None and _expired(reading) and not _expired(self._good.get(source.id)):
                self._tell(source.id, _why(reading))
            elif reading is not None:
                reload = await self._take_over(source.id, reading, runtime) or reload
            if (pem := self._good.get(source.id)) and self._held.get(source.id) != pem.text:
                # An adopted one, or one that did not answer.
                reload = await self._take_over(source.id, pem, runtime) or reload
        return reload

    def reports(self, routings: Iterable[Routing]) -> tuple[CertificateReport, ...]:
        """What each listener shows, and what is wrong with it."""
        return tuple(
            self._report(routing.stack, source, self._good[source.id])
            for routing in routings
            for listener in routing.listeners
            for source in tls.sources(listener)
            if source.id in self._good  # else the listener is missing, which is told as that
        )

    def _report(self, stack: str, source: Source, pem: Pem) -> CertificateReport:
        problem = self._problems.get(source.id, "")
        if not problem and _expired(pem):
            problem = f"it has expired: it was valid until {pem.expires_at}"
        return CertificateReport(
            stack=stack,
            address=source.listener.address,
            port=source.listener.port,
            names=pem.names,
            expires_at=pem.expires_at,
            file=source.file,
            problem=problem,
        )

    def _read(self, wanted: Iterable[Source]) -> Readings:
        """Blocks for the disk."""
        found: Readings = {}
        for source in wanted:
            try:
                (found[source.id],) = self._certificates.of(source.listener)
            except CertificateError as problem:
                found[source.id] = problem
            except Exception as problem:
                # A file that trips the reader must not take the balancer's eyes; what it says might hold a key.
                why = f"it cannot be understood ({type(problem).__name__})"
                found[source.id] = CertificateError(f"{source.file or 'the certificate'} cannot be used", why)
        return found

    async def _read_in_time(self, wanted: Collection[Source]) -> Readings:
        """The same for who must know now; a disk that does not answer is a problem of each."""
        if not wanted:
            return {}
        try:
            return await asyncio.wait_for(asyncio.to_thread(self._read, wanted), DISK_PATIENCE)
        except TimeoutError:
            why = f"its disk has not answered for {DISK_PATIENCE:g} s"
            return {one.id: CertificateError(f"{one.file or 'the certificate'} cannot be read", why) for one in wanted}

    async def _readings(self, wanted: Collection[Source]) -> Readings:
        """What lies there now; {} when it was looked at a moment ago, or the disk does not answer."""
        if self._reading is None:
            if time.monotonic() < self._read_at + PACE:
                return {}
            self._read_at = time.monotonic()
            self._reading = asyncio.create_task(asyncio.to_thread(self._read, wanted), name="read certificates")
        # A disk that hangs must not hold up the node: the thread goes on, and a later look takes what it brings.
        await asyncio.wait({self._reading}, timeout=READ_PATIENCE)
        if not self._reading.done():
            return {}
        done, self._reading = self._reading, None
        return done.result()

    async def _take_over(self, source_id: str, pem: Pem, runtime: Runtime) -> bool:
        """Have `pem` shown. True: only a reload can do that."""
        if self._held.get(source_id) == pem.text:
            self._good[source_id] = pem
            self._tell(source_id, "")
            return False
        path, before = self._path(source_id), self._good.get(source_id)
        if len(pem.text) > tls.LONGEST_PAYLOAD:
            return await self._leave_to_a_reload(source_id, pem)
        try:
            await _hand_over(runtime, path, pem.text)
            await self._write_or_tell(source_id, pem)
            await runtime.run([tls.commit(path)])
        except BalancerError as problem:
            self._refused[source_id] = pem.text
            self._tell(source_id, f"HAProxy does not take {pem.file or 'the certificate'}: {problem.why}")
            with suppress(OSError):
                await runtime.ask(tls.abort(path))
            if before is not None:
                await self._write_or_tell(source_id, before)
            return False
        except OSError:
            # Whether it was done is unknown: the next look hands it over once more.
            self._held.pop(source_id, None)
            return False
        if before is not None and before.text != pem.text:
            log.info(
                "the certificate %s was replaced; it is valid until %s", pem.file or "for localhost", pem.expires_at
            )
        self._good[source_id], self._held[source_id] = pem, pem.text
        self._refused.pop(source_id, None)
        self._tell(source_id, "")
        return False

    async def _leave_to_a_reload(self, source_id: str, pem: Pem) -> bool:
        if self._good.get(source_id) == pem and self._written.get(source_id) == pem.text:
            return True
        self._good[source_id] = pem
        await self._write_or_tell(source_id, pem)
        return source_id in self._written

    async def _write_or_tell(self, source_id: str, pem: Pem) -> None:
        """First the file, then the command; a full disk stops neither."""
        with suppress(OSError):
            await asyncio.to_thread(self._write_if_possible, source_id, pem)

    async def _ask(self, program: Program, pems: dict[str, Pem]) -> None:
        """CertificateError when HAProxy would not start with one of them."""
        for pem in pems.values():
            why = await objection(program, self._folder, pem)
            if why:
                raise CertificateError(
                    f"{pem.file or 'the certificate'} cannot be used", f"HAProxy does not take it: {why}"
                )

    def _tell(self, source_id: str, problem: str) -> None:
        """Remember what is wrong, or that nothing is; the log has each once."""
        if problem and problem != self._problems.get(source_id):
            goes_on = "; the one before it goes on" if source_id in self._good else ""
            log.warning("%s%s", problem, goes_on)
        if problem:
            self._problems[source_id] = problem
        else:
            self._problems.pop(source_id, None)

    def _path(self, source_id: str) -> str:
        return f"{self._folder}/{tls.pem_name(source_id)}"

    def _write(self, source_id: str, pem: Pem) -> None:
        """Blocks; OSError. What it is for stands before it, so that it can be told when only this file is left."""
        if self._written.get(source_id) == pem.text and os.path.exists(self._path(source_id)):
            return
        if self._recall(source_id) != pem:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            about = json.dumps({"names": pem.names, "expires_at": pem.expires_at, "file": pem.file})
            write_atomically(self._path(source_id), f"# {about}\n{pem.text}", durable=False)
        self._written[source_id] = pem.text

    def _write_if_possible(self, source_id: str, pem: Pem) -> None:
        """Blocks. OSError when there is no file then, not even an older one."""
        try:
            self._write(source_id, pem)
        except OSError as problem:
            log.warning("%s was not written: %s", self._path(source_id), problem.strerror or problem)
            self._written.pop(source_id, None)
            if not os.path.exists(self._path(source_id)):
                raise

    def _recall(self, source_id: str) -> Pem | None:
        """The one that was written last, by whichever daemon."""
        try:
            with open(self._path(source_id), encoding="utf-8") as file:
                first, text = file.readline(), file.read()
            about = json.loads(first.removeprefix("# "))
            return Pem(
                text=text,
                names=tuple(str(name) for name in about["names"]),
                expires_at=str(about["expires_at"]),
                file=str(about["file"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_lists(self, folder: str, texts: dict[str, str]) -> None:
        if all(os.path.exists(path) for path in texts):
            return
        for one in (self._folder, folder):
            os.makedirs(one, mode=0o700, exist_ok=True)
        for path, text in texts.items():
            write_atomically(path, text, durable=False)


async def _hand_over(runtime: Runtime, path: str, text: str) -> None:
    """BalancerError: HAProxy does not take it."""
    try:
        await runtime.run([tls.begin(path, text)])
    except BalancerError as problem:
        other = tls.in_the_way(problem)
        if not other:
            raise
        # Begun by a daemon that was killed before its end.
        await runtime.ask(tls.abort(other))
        await runtime.run([tls.begin(path, text)])


def _expired(pem: Pem | None) -> bool:
    return pem is None or datetime.fromisoformat(pem.expires_at) < datetime.now(UTC)


def _why(reading: Pem | CertificateError) -> str:
    if isinstance(reading, CertificateError):
        return reading.sentence
    return f"{reading.file or 'the certificate'} has expired: it was valid until {reading.expires_at}"


def _remove(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            os.unlink(path)
