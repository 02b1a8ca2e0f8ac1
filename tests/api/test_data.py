"""The routes of data: what is asked gets to the daemon, work is watched, and a password goes to who asked and nowhere
else."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from fairlead.api.wire import Exchange
from fairlead.control.journal import Progress
from fairlead.errors import FairleadError, NotFound, ResourceError, UsageError
from tests.api.homes import Daemon, a_daemon

pytestmark = pytest.mark.live


class ScriptedData:
    """Answers as `control.data.Data` would. `fail` is raised by the next call."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.fail: Exception | None = None

    async def list(self, stack: str | None = None) -> dict[str, Any]:
        self._note("list", stack)
        return {"data": [{"stack": "shop", "id": "store", "size": 7}]}

    async def stop(self, stack: str, id: str, progress: Progress) -> dict[str, Any]:
        return self._worked("stop", stack, id, progress)

    async def start(self, stack: str, id: str, progress: Progress) -> dict[str, Any]:
        return self._worked("start", stack, id, progress)

    async def backup(self, stack: str, id: str, file: str, progress: Progress) -> dict[str, Any]:
        return self._worked("backup", stack, id, progress, file)

    async def restore(self, stack: str, id: str, file: str, progress: Progress) -> dict[str, Any]:
        return self._worked("restore", stack, id, progress, file)

    async def delete(self, stack: str, id: str, progress: Progress) -> dict[str, Any]:
        return self._worked("delete", stack, id, progress)

    async def delete_all(self, stack: str, progress: Progress) -> dict[str, Any]:
        return self._worked("delete_all", stack, "", progress)

    async def shell(self, stack: str, id: str) -> dict[str, Any]:
        self._note("shell", stack, id)
        return {"argv": ["psql"], "environment": {"PGPASSWORD": "hunter2"}, "says": ""}

    def _worked(self, verb: str, stack: str, id: str, progress: Progress, *more: str) -> dict[str, Any]:
        self._note(verb, stack, id, *more)
        progress({"text": f"{verb} goes on", "stack": stack})
        return {"stack": stack, "id": id, "text": "done"}

    def _note(self, *call: Any) -> None:
        self.asked.append(call)
        if self.fail is not None:
            raise self.fail


def scripted(daemon: Daemon) -> ScriptedData:
    daemon.supervisor.data = data = ScriptedData()  # type: ignore[assignment]
    return data


async def test_each_call_of_the_client_gets_to_its_place() -> None:
    async with a_daemon() as daemon:
        data = scripted(daemon)
        assert (await daemon.ask(lambda client: client.data()))[0]["size"] == 7
        await daemon.ask(lambda client: client.data("shop"))
        streams = [
            await daemon.ask(lambda client: list(client.stop_data("shop", "store"))),
            await daemon.ask(lambda client: list(client.start_data("shop", "store"))),
            await daemon.ask(lambda client: list(client.backup_data("shop", "store", "/b/x.dump"))),
            await daemon.ask(lambda client: list(client.restore_data("shop", "store", "/b/x.dump"))),
            await daemon.ask(lambda client: list(client.delete_data("shop", "store"))),
            await daemon.ask(lambda client: list(client.delete_data("shop"))),
        ]
        assert (await daemon.ask(lambda client: client.data_shell("shop", "store")))["argv"] == ["psql"]
    assert data.asked == [
        ("list", None),
        ("list", "shop"),
        ("stop", "shop", "store"),
        ("start", "shop", "store"),
        ("backup", "shop", "store", "/b/x.dump"),
        ("restore", "shop", "store", "/b/x.dump"),
        ("delete", "shop", "store"),
        ("delete_all", "shop", ""),
        ("shell", "shop", "store"),
    ]
    assert all([event["type"] for event in stream] == ["progress", "result"] for stream in streams)


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "says"),
    [
        ("POST", "/stacks/shop/data/store/backup", b'{"file": "x.dump"}', 400, "absolute"),
        ("POST", "/stacks/shop/data/store/backup", b'{"file": "/x\\u0000"}', 400, "absolute"),
        ("POST", "/stacks/shop/data/store/restore", b"{}", 400, "file"),
        ("POST", "/stacks/shop/data/store/restore", b'{"file": "/x", "more": 1}', 400, "more"),
        ("POST", "/stacks/shop/data/store/explode", b"", 404, "Not Found"),
        ("POST", "/stacks/shop/data/store", b"", 405, "Method Not Allowed"),
        ("GET", "/data?stak=shop", b"", 400, "stak"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    method: str, target: str, body: bytes, status: int, says: str
) -> None:
    async with a_daemon() as daemon:
        data = scripted(daemon)
        seen, answer = await daemon.ask(lambda _: raw(daemon.path, method, target, body))
    assert (seen, says in answer["error"]["why"]) == (status, True)
    assert data.asked == []


def raw(path: str, method: str, target: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    exchange = Exchange(path, 5)
    status = exchange.ask(method, target, body)
    answer = json.loads(exchange.read())
    exchange.close()
    return status, answer


async def test_an_id_that_is_empty_never_means_all_of_them() -> None:
    async with a_daemon() as daemon:
        data = scripted(daemon)
        with pytest.raises(FairleadError):
            await daemon.ask(lambda client: list(client.delete_data("shop", "")))
    assert data.asked == []


@pytest.mark.parametrize("error", [NotFound("no such"), UsageError("not now"), ResourceError("it died", detail="log")])
async def test_an_error_comes_as_what_it_was(error: FairleadError) -> None:
    async with a_daemon() as daemon:
        scripted(daemon).fail = error
        with pytest.raises(type(error)) as streamed:
            await daemon.ask(lambda client: list(client.start_data("shop", "store")))
        with pytest.raises(type(error)):
            await daemon.ask(lambda client: client.data_shell("shop", "store"))
    assert streamed.value.to_json() == error.to_json()


async def test_the_password_of_a_shell_goes_to_who_asked_and_into_no_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_daemon() as daemon:
        scripted(daemon)
        shell = await daemon.ask(lambda client: client.data_shell("shop", "store"))
    assert shell["environment"] == {"PGPASSWORD": "hunter2"}
    printed = capfd.readouterr()
    assert "hunter2" not in caplog.text + printed.out + printed.err
