"""What the tests of `examples/photos` stand on: real servers, the way to each of them, and visitors.

The environment of the app is the one of the example's own fairlead.yaml, filled in as a launch does it.
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fairlead.core.interpolation import interpolate_launch
from fairlead.core.resources.addresses import addresses_here
from fairlead.core.resources.model import Database, Resource
from fairlead.errors import ResourceError
from fairlead.resources.recipe import Search
from fairlead.resources.recipes import all_recipes
from fairlead.spec import read

from ...live.house import a_free_port
from ...needs import need
from ...resources.rig import Rig, a_folder, run
from .wire import Wire

EXAMPLE = Path(__file__).parents[3] / "examples" / "photos"
FILES = {"postgres": "fairlead.yaml", "mysql": "fairlead.mysql.yaml"}
sys.path.insert(0, str(EXAMPLE))

from photos import bucket as bucket_module  # noqa: E402
from photos import create_app  # noqa: E402
from photos import guard as guard_module  # noqa: E402
from photos import migrate as migrate_module  # noqa: E402
from photos import pictures as picture_module  # noqa: E402
from photos import settings as settings_module  # noqa: E402
from photos import sweep as sweep_module  # noqa: E402
from photos.album import Album  # noqa: E402
from photos.migrate import migrate  # noqa: E402

# The example is on the path from here on: tests get its modules from this one.
__all__ = [
    "EXAMPLE",
    "Album",
    "bucket_module",
    "create_app",
    "guard_module",
    "migrate",
    "migrate_module",
    "picture_module",
    "settings_module",
    "sweep_module",
]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECRET = "a secret of the tests, long enough"
Answer = Any
"""werkzeug's TestResponse."""


class Ground:
    """A database and a bucket, each behind a wire."""

    def __init__(self, engine: str, database: Rig, bucket: Rig) -> None:
        self.engine, self._rigs = engine, {"databases.store": database, "buckets.photos": bucket}
        self.database, self.bucket = Wire(database.port), Wire(bucket.port)
        wires = {"databases.store": self.database, "buckets.photos": self.bucket}
        self._made: dict[tuple[Any, ...], Instance] = {}
        self._values = {"secrets.FLASK_SECRET": SECRET}
        for key, rig in self._rigs.items():
            attributes = addresses_here(rig.resource, wires[key].port, rig.password)
            self._values |= {f"{key}.{name}": value for name, value in attributes.items()}

    @property
    def bucket_server(self) -> str:
        """Where the bucket is without its wire."""
        return f"http://127.0.0.1:{self._rigs['buckets.photos'].port}"

    def environment(self, instance: str = "web-1", **more: str) -> dict[str, str]:
        [service] = read(str(EXAMPLE / FILES[self.engine]), env={}).services
        filled = {
            name: interpolate_launch(text, port=None, socket="", id=instance, zone="a", values=self._values)
            for name, text in service.environment.items()
        }
        own = {"FAIRLEAD_INSTANCE": instance, "FAIRLEAD_ZONE": "a", "FAIRLEAD_RELEASE": "1"}
        return {"PATH": PATH, **filled, **own, **more}

    def instance(self, name: str = "web-1", **more: str) -> Instance:
        """Made at its first use: connecting to everything takes a while."""
        key = (name, *sorted(more.items()))
        if key not in self._made:
            self._made[key] = Instance(self.environment(name, **more))
        return self._made[key]

    def mend(self) -> None:
        self.database.mend()
        self.bucket.mend()

    def tidy(self) -> None:
        """After a test: everything answers again, and nobody remembers otherwise."""
        self.mend()
        for instance in self._made.values():
            instance.album.bucket.forget()

    def close(self) -> None:
        for instance in self._made.values():
            instance.close()
        self._made.clear()
        self.database.close()
        self.bucket.close()


class Instance:
    """One app, with its own connections to everything."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        with _as_process_environment(environment):
            self.app = create_app(environment)
        self.album: Album = self.app.extensions["album"]

    def close(self) -> None:
        self.album.catalogue.close()
        self.album.bucket.close()

    def visitor(self) -> Visitor:
        return Visitor(self.app.test_client())


class Visitor:
    """A browser with its cookies. Forms are read from the pages, as a browser does."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def get(self, path: str = "/", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=named, buffered=True)

    def form(self) -> dict[str, str]:
        """The hidden fields of the upload form."""
        text = self.get("/").text
        return {name: _field(text, name) for name in ("csrf_token", "submission")}

    def send(
        self, data: bytes, *, form: dict[str, str] | None = None, name: str = "photo.jpg", title: str = ""
    ) -> Answer:
        """Send the upload form; a fresh one unless `form` says which."""
        fields = {**(self.form() if form is None else form), "title": title}
        return self.post_form("/photos", fields, {"photo": (name, data)}, Accept="application/json")

    def post_form(
        self,
        path: str,
        fields: Mapping[str, str],
        files: Mapping[str, tuple[str, bytes]] = {},
        **headers: str,
    ) -> Answer:
        """As a browser encodes a form with a file."""
        body, kind = multipart(fields, files)
        return self.client.post(path, data=body, content_type=kind, headers=headers, buffered=True)

    def upload(self, data: bytes, **more: Any) -> dict[str, Any]:
        """A photo that is stored."""
        answer = self.send(data, **more)
        assert answer.status_code == 201, (answer.status_code, answer.text)
        stored: dict[str, Any] = answer.json
        return stored

    def delete(self, id: str, token: str = "") -> Answer:
        fields = {"csrf_token": token or self.form()["csrf_token"]}
        return self.client.post(f"/photos/{id}/delete", data=fields, headers={"Accept": "application/json"})

    def gallery(self, path: str = "/") -> list[str]:
        """The ids that a page of the gallery shows, in its order."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return re.findall(r'<a href="/photos/([0-9a-f-]{36})">', answer.text)


def multipart(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]]) -> tuple[bytes, str]:
    """The body of a form, and its content type. files: name -> (file name, content)."""
    boundary, parts = "tests-" + uuid.uuid4().hex, []
    for name, value in fields.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, (file, content) in files.items():
        file = file.replace('"', "%22").replace("\r", "").replace("\n", "")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        parts += [head.encode() + b"Content-Type: image/jpeg\r\n\r\n", content, b"\r\n"]
    return b"".join((*parts, f"--{boundary}--\r\n".encode())), f"multipart/form-data; boundary={boundary}"


def objects_of(album: Album) -> dict[str, int]:
    """Of each id in the bucket, how many objects there are."""
    found: dict[str, int] = {}
    for id, _ in album.bucket.ids():
        found[id] = found.get(id, 0) + 1
    return found


def cleared(instance: Instance) -> None:
    """Nothing in the database, nothing in the bucket."""
    album = instance.album
    while page := album.catalogue.page(100).photos:
        for photo in page:
            album.catalogue.remove(photo.id)
    for id in objects_of(album):
        album.bucket.remove(id)


@contextmanager
def ground_of(engine: str) -> Iterator[Ground]:
    """Servers as `fairlead` would run them for the example; ended when the block is."""
    resources = {one.kind: one for one in read(str(EXAMPLE / FILES[engine]), env={}).resources}
    with ExitStack() as stack:
        rigs = [_started(stack, resources[kind]) for kind in ("database", "bucket")]
        ground = Ground(engine, *rigs)
        stack.callback(ground.close)
        yield ground


def _started(stack: ExitStack, resource: Resource) -> Rig:
    folder = stack.enter_context(a_folder())
    search = Search(path=PATH, copies=str(folder / "programs"), data=str(folder / "r" / "data"))
    (folder / "programs").mkdir(mode=0o755)
    recipe = all_recipes()[resource.engine]
    rig = Rig(recipe=recipe, resource=resource, folder=folder, search=search, port=a_free_port())
    try:
        run(rig.program())
    except ResourceError as problem:
        what = resource.engine if isinstance(resource, Database) else "a bucket"
        need(False, f"nothing serves {what} here: {problem}")
    stack.callback(rig.end)
    run(rig.start())
    return rig


@contextmanager
def _as_process_environment(environment: Mapping[str, str]) -> Iterator[None]:
    """boto3 reads its keys from the process's own environment."""
    import os

    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if name.startswith("AWS_")})
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if name.startswith("AWS_")})


def _field(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', text)
    assert found, f"no field {name} in {text[:500]}"
    return found[1]


def a_submission() -> str:
    return uuid.uuid4().hex
