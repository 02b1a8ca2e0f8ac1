"""Releases made by the real tools: shared, immutable, refused with a reason, and whole whatever dies."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from uv import find_uv_bin

from fairlead.core.layout import Layout
from fairlead.core.model import Certificate, HealthCheck, Listener, Release, Service, forward_to
from fairlead.core.resources.model import Cache, Database
from fairlead.errors import BuildError
from fairlead.releases.interpreter import OWN
from fairlead.releases.stand_ins import STAND_IN
from tests.needs import need
from tests.releases.builders import a_builder, a_command, a_stack, a_tree, an_app, need_packages

pytestmark = pytest.mark.live

WSGI = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x']\n"
NOWHERE = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "UV_HTTP_RETRIES": "0"}
"""The index cannot be reached."""


class Told(list[str]):
    """What progress was told."""

    def __call__(self, text: str) -> None:
        self.append(text)


async def build(
    layout: Layout,
    service: Service,
    known: tuple[Release, ...] = (),
    number: int = 1,
    told: Told | None = None,
    **fields: Any,
) -> Release:
    builder = a_builder(layout, **fields)
    return await builder.build(a_stack(service), service, known, number, told if told is not None else Told())


async def refused(layout: Layout, service: Service, **fields: Any) -> BuildError:
    with pytest.raises(BuildError) as caught:
        await build(layout, service, **fields)
    folder = Path(layout.releases("demo", "web"))
    assert not [name for name in (os.listdir(folder) if folder.exists() else ()) if name != "build.log"]
    return caught.value


def under(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


@pytest.fixture
def app(source: Path) -> Service:
    return an_app(a_tree(source, {"app.py": WSGI}))


# --- what a release is ------------------------------------------------------------------------------------------------


async def test_a_command_without_python_needs_neither_uv_nor_environment(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": "echo", ".gitignore": "node_modules\n", "node_modules/x": ""})
    release = await build(layout, a_command(source, "sh", "run.sh", "${instance.port}", environment={"A": "1"}))
    assert release.environment_folder is None
    assert release.argv == ("sh", "run.sh", "${instance.port}")
    assert (release.address, release.interface) == ("tcp", None)
    assert release.environment == {"A": "1"}
    assert release.ignored == ("node_modules",)
    assert release.source == f"{layout.releases('demo', 'web')}/0001/source"
    assert under(release.source) == [".gitignore", "run.sh"]
    assert under(layout.home) == ["stacks"]


async def test_a_command_that_names_the_socket_listens_on_it(layout: Layout, source: Path) -> None:
    a_tree(source, {"x": ""})
    assert (await build(layout, a_command(source, "sh", "--at=${instance.socket}"))).address == "unix"


@pytest.mark.parametrize(
    ("files", "argv", "python"),
    [
        ({"requirements.txt": ""}, ("sh", "x.js"), None),
        ({"x.py": ""}, ("python", "x.py"), None),
        ({"x.py": ""}, ("sh", "x.py"), OWN.minor),
    ],
)
async def test_a_command_with_something_of_python_gets_an_environment(
    layout: Layout, source: Path, files: dict[str, str], argv: tuple[str, ...], python: str | None
) -> None:
    release = await build(layout, a_command(a_tree(source, files), *argv, python=python))
    assert release.argv == argv
    assert os.access(f"{release.environment_folder}/bin/python", os.X_OK)


async def test_an_app_is_looked_at_and_its_program_is_complete(shared_layout: Layout, app: Service) -> None:
    need_packages()
    release = await build(shared_layout, app)
    assert (release.interface, release.address) == ("wsgi", "unix")
    python, runner, target, *options = release.argv
    assert python == f"{release.environment_folder}/bin/python"
    assert os.path.isfile(runner)
    assert (target, options[0], options[2:]) == (
        "app:app",
        "--server-path",
        ["--uds", "${instance.socket}", "--threads", "16", "--umask", "0177"],
    )
    assert os.path.isdir(f"{options[1]}/granian")
    description = json.loads(Path(release.source, "..", "release.json").read_text())
    assert (description["interface"], description["number"]) == ("wsgi", 1)


async def test_a_release_cannot_be_written_and_holds_no_secret(
    shared_layout: Layout, app: Service, source: Path
) -> None:
    need_packages()
    service = an_app(source, environment={"TOKEN": "s3cret"})
    release = await build(shared_layout, service, number=2)
    assert "s3cret" not in Path(release.source, "..", "release.json").read_text()
    for where, _, names in os.walk(release.source):
        assert not os.stat(where).st_mode & 0o222
        assert not any(os.stat(f"{where}/{name}").st_mode & 0o222 for name in names)
    assert not os.stat(os.path.dirname(release.source)).st_mode & 0o077


async def test_the_app_is_imported_with_the_variables_it_will_have(shared_layout: Layout, source: Path) -> None:
    need_packages()
    text = "import os\nassert os.environ['URL'] == 'x:0'\nassert os.path.isdir(os.environ['HOME'])\nprint('noise')\n"
    a_tree(source, {"app.py": text + "open(os.environ['HOME'] + '/file', 'w').close()\n" + WSGI})
    release = await build(shared_layout, an_app(source, environment={"URL": "x:${instance.port}"}), number=3)
    assert release.environment == {"URL": "x:${instance.port}"}
    assert under(os.path.dirname(release.source)) == ["files", "release.json", "source"]
    assert under(release.source) == ["app.py"]


USES = {
    "KEY": "Bearer ${secrets.KEY}",
    "STORE": "${databases.store.url}",
    "CACHE": "${caches.cache.url} ${caches.cache.port}",
}
RESOURCES = (
    Database(id="store", engine="postgres", name="shop", user="shop"),
    Cache(id="cache", url="redis://:pw@cache.internal/0"),
)
STAND_INS = f"""\
import os
assert os.environ["KEY"] == "Bearer {STAND_IN}", os.environ["KEY"]
assert os.environ["STORE"] == "postgresql://shop:{quote(STAND_IN, safe="")}@127.0.0.1:1/shop", os.environ["STORE"]
assert os.environ["CACHE"] == "redis://:pw@cache.internal/0 6379", os.environ["CACHE"]
"""


async def test_the_app_is_imported_with_stand_ins_for_what_only_a_launch_knows(
    shared_layout: Layout, source: Path
) -> None:
    """No secret, and no database, which runs only later, is needed to tell what kind of app it is."""
    need_packages()
    a_tree(source, {"app.py": STAND_INS + WSGI})
    service = an_app(source, environment=dict(USES))
    stack = replace(a_stack(service), resources=RESOURCES)
    release = await a_builder(shared_layout).build(stack, service, (), 4, Told())
    assert release.environment == USES, "what is kept are the references"


async def test_an_app_that_needs_its_database_to_be_imported_is_told_what_to_do(
    shared_layout: Layout, source: Path
) -> None:
    need_packages()
    text = "import os, socket, urllib.parse\nurl = urllib.parse.urlsplit(os.environ['STORE'])\n"
    a_tree(source, {"app.py": text + "socket.create_connection((url.hostname, url.port))\n" + WSGI})
    service = an_app(source, environment=dict(USES))
    with pytest.raises(BuildError) as raised:
        await a_builder(shared_layout).build(replace(a_stack(service), resources=RESOURCES), service, (), 5, Told())
    assert "ConnectionRefusedError" in raised.value.why
    assert raised.value.next_step.startswith("use databases and secrets when the app starts, not when it is imported")


# --- nothing differs, something differs -------------------------------------------------------------------------------


async def test_nothing_changed_gives_the_known_release_and_writes_nothing(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": "echo"})
    first = await build(layout, a_command(source, "sh", "run.sh"))
    before = {path: path.stat().st_mtime_ns for path in Path(layout.home).rglob("*")}
    again = a_command(
        source, "sh", "run.sh", desired=3, maximum=3, stop_timeout=1.0, health_check=HealthCheck(path="/x")
    )
    os.utime(source / "run.sh", (0, 0))
    assert await build(layout, again, (first,), 2) is first
    assert {path: path.stat().st_mtime_ns for path in Path(layout.home).rglob("*")} == before


async def test_where_nothing_changed_nothing_is_done(shared_layout: Layout, app: Service) -> None:
    need_packages()
    first = await build(shared_layout, app, number=4)
    builder = a_builder(shared_layout, env={"PATH": os.environ["PATH"]})
    told = Told()
    assert await builder.build(a_stack(app), app, (first,), 5, told) is first
    assert told == [], "nothing is copied, and no program is run"


async def test_every_change_of_what_runs_is_a_new_release(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": "echo"})
    releases = [await build(layout, a_command(source, "sh", "run.sh"))]
    for service in (
        a_command(source, "sh", "run.sh", "-v"),
        a_command(source, "sh", "run.sh", environment={"A": "1"}),
        a_command(source, "sh", "run.sh", environment={"A": "2"}),
        a_command(source, "sh", "run.sh", python=OWN.minor),
    ):
        releases.append(await build(layout, service, tuple(releases), len(releases) + 1))
    (source / "run.sh").chmod(0o755)
    releases.append(await build(layout, a_command(source, "sh", "run.sh"), tuple(releases), len(releases) + 1))
    assert [release.number for release in releases] == [1, 2, 3, 4, 5, 6]
    (source / "run.sh").chmod(0o644)
    assert await build(layout, a_command(source, "sh", "run.sh"), tuple(releases), 7) is releases[0]


async def test_an_edit_of_the_stacks_own_file_alone_is_no_new_release(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": "echo", "fairlead.yaml": "name: demo"})
    service = a_command(source, "sh", "run.sh")
    stack = replace(a_stack(service), path=str(source / "fairlead.yaml"))
    first = await a_builder(layout).build(stack, service, (), 1, Told())
    a_tree(source, {"fairlead.yaml": "name: demo  # edited"})
    assert await a_builder(layout).build(stack, service, (first,), 2, Told()) is first
    assert under(first.source) == ["run.sh"]


async def test_the_dotenv_beside_the_stacks_file_is_no_part_of_a_release(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": "echo", "fairlead.yaml": "", ".env": "TOKEN=s3cr3t", "sub/.env": "the app's own"})
    service = a_command(source, "sh", "run.sh")
    stack = replace(a_stack(service), path=str(source / "fairlead.yaml"))
    first = await a_builder(layout).build(stack, service, (), 1, Told())
    assert under(first.source) == ["run.sh", "sub"]
    assert under(f"{first.source}/sub") == [".env"]
    a_tree(source, {".env": "TOKEN=another"})
    assert await a_builder(layout).build(stack, service, (first,), 2, Told()) is first


async def test_the_balancers_certificates_and_keys_are_no_part_of_a_release(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": "echo", "certs/web.pem": "a certificate", "certs/web.key": "a key", "web.key": "another"})
    service = a_command(source, "sh", "run.sh")
    certificate = Certificate(file=str(source / "certs/web.pem"), key=str(source / "certs/web.key"))
    listener = Listener(port=8443, default=forward_to("web"), protocol="HTTPS", certificates=(certificate,))
    stack = replace(a_stack(service), listeners=(listener,))
    first = await a_builder(layout).build(stack, service, (), 1, Told())
    assert under(first.source) == ["run.sh", "web.key"]
    a_tree(source, {"certs/web.pem": "renewed", "certs/web.key": "renewed"})
    assert await a_builder(layout).build(stack, service, (first,), 2, Told()) is first


async def test_a_known_release_whose_folder_is_gone_is_made_again(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": "echo"})
    first = await build(layout, a_command(source, "sh", "run.sh"))
    builder = a_builder(layout)
    builder.prune("demo", "web", keep=())
    assert not os.path.exists(first.source)
    assert (await build(layout, a_command(source, "sh", "run.sh"), (first,), 2)).number == 2


async def test_pruning_keeps_what_it_is_told_to(layout: Layout, source: Path) -> None:
    for number in (1, 2, 3):
        a_tree(source, {"run.sh": f"echo {number}"})
        await build(layout, a_command(source, "sh", "run.sh"), (), number)
    builder = a_builder(layout)
    builder.prune("demo", "web", keep={1, 3})
    await builder.sweep(keep=())
    assert under(layout.releases("demo", "web")) == ["0001", "0003"]


# --- environments -----------------------------------------------------------------------------------------------------


async def test_releases_with_the_same_dependencies_share_an_environment(shared_layout: Layout, source: Path) -> None:
    need_packages()
    a_tree(source, {"requirements.txt": "itsdangerous==2.2.0\n", "app.py": "import itsdangerous\n" + WSGI})
    first = await build(shared_layout, an_app(source), number=10)
    a_tree(source, {"app.py": "import itsdangerous  # edited\n" + WSGI})
    told = Told()
    second = await build(shared_layout, an_app(source), (first,), 11, told)
    assert second.environment_folder == first.environment_folder
    assert second.source != first.source
    assert not any("install" in text for text in told)
    a_tree(source, {"requirements.txt": "itsdangerous==2.1.2\n"})
    third = await build(shared_layout, an_app(source), (first, second), 12)
    assert third.environment_folder != first.environment_folder


async def test_a_lock_is_obeyed_and_one_older_than_its_project_is_refused(layout: Layout, source: Path) -> None:
    need_packages()
    project = (
        '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["itsdangerous<2.2"]\n'
    )
    a_tree(source, {"pyproject.toml": project, "app.py": "import itsdangerous\n" + WSGI})
    subprocess.run([find_uv_bin(), "lock", "-q", "--python", OWN.path], cwd=source, check=True, timeout=60)
    release = await build(layout, a_command(source, "python", "-c", "1"))
    assert under(f"{release.environment_folder}/lib/python{OWN.minor}/site-packages/itsdangerous-2.1.2.dist-info")
    a_tree(source, {"pyproject.toml": project.replace('["itsdangerous<2.2"]', '["itsdangerous<2.2", "click"]')})
    with pytest.raises(BuildError, match=r"what uv\.lock asks for cannot be installed") as caught:
        await build(layout, a_command(source, "python", "-c", "1"), (release,), 2)
    assert "uv lock" in caught.value.next_step + caught.value.detail


async def test_a_package_with_a_src_folder_is_installed_and_follows_its_source(layout: Layout, source: Path) -> None:
    need_packages()
    backend = "import os, zipfile\n" + _BACKEND
    project = '[project]\nname = "shop"\nversion = "1"\n[build-system]\nrequires = []\nbuild-backend = "backend"\n'
    a_tree(source, {"pyproject.toml": f'{project}backend-path = ["."]\n', "backend.py": backend, "src/shop.py": WSGI})
    first = await build(layout, a_command(source, "python", "-c", "1"))
    installed = f"lib/python{OWN.minor}/site-packages/shop.py"
    assert Path(first.environment_folder or "", installed).read_text() == WSGI
    a_tree(source, {"src/shop.py": WSGI + "# edited\n"})
    second = await build(layout, a_command(source, "python", "-c", "1"), (first,), 2)
    assert Path(second.environment_folder or "", installed).read_text().endswith("# edited\n")
    assert under(layout.environments) == sorted(os.path.basename(r.environment_folder or "") for r in (first, second))


_BACKEND = """
def build_wheel(folder, config_settings=None, metadata_directory=None):
    open("written-beside-the-source", "w").close()
    with zipfile.ZipFile(os.path.join(folder, "shop-1-py3-none-any.whl"), "w") as wheel:
        wheel.write("src/shop.py", "shop.py")
        wheel.writestr("shop-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: shop\\nVersion: 1\\n")
        wheel.writestr("shop-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("shop-1.dist-info/RECORD", "")
    return "shop-1-py3-none-any.whl"
"""


async def test_a_warm_cache_serves_without_a_network(layout: Layout, source: Path) -> None:
    need_packages()
    a_tree(source, {"requirements.txt": "itsdangerous==2.2.0\n"})
    first = await build(layout, a_command(source, "python", "-c", "1"))
    for requirements, origin in (
        ("itsdangerous==2.2.0  # pinned\n", "installed the dependencies from the cache"),
        ("itsdangerous\n", "installed the dependencies from the cache, as the index cannot be reached"),
    ):
        told = Told()
        a_tree(source, {"requirements.txt": requirements})
        release = await build(
            layout, a_command(source, "python", "-c", "1"), (first,), 2, told, env=os.environ | NOWHERE
        )
        assert release.environment_folder != first.environment_folder
        assert told[-1] == origin


async def test_environments_nobody_refers_to_are_swept_and_unfinished_ones_too(layout: Layout, source: Path) -> None:
    release = await build(layout, a_command(a_tree(source, {"x": ""}), "python"))
    assert release.environment_folder is not None
    for name in ("unfinished", "stale"):
        shutil.copytree(release.environment_folder, f"{layout.environments}/{name}", symlinks=True)
    os.unlink(f"{layout.environments}/unfinished/.complete")
    await a_builder(layout).sweep(keep={release.environment_folder, f"{layout.environments}/unfinished"})
    assert under(layout.environments) == [os.path.basename(release.environment_folder)]


# --- refused, with the reason and the place ---------------------------------------------------------------------------


async def test_a_source_that_is_not_there_is_refused_at_its_place(layout: Layout) -> None:
    error = await refused(layout, a_command(Path("/nonexistent/shop"), "true"))
    assert error.sentence == "fairlead.yaml:5:13: the source /nonexistent/shop is not a folder"


async def test_a_source_that_gitignore_empties_is_refused(layout: Layout, source: Path) -> None:
    a_tree(source, {"dist/x": ""})
    (source / "dist" / ".gitignore").write_text("*")
    assert "holds nothing to run: it is empty" in (await refused(layout, a_command(source, "true"))).sentence


async def test_an_interpreter_that_is_not_there_is_refused_before_anything_is_made(
    layout: Layout, app: Service
) -> None:
    error = await refused(layout, an_app(Path(app.source), python="3.99"))
    assert error.sentence.startswith("fairlead.yaml:4:13: Python 3.99 is not installed")
    assert under(layout.home) == []


async def test_a_package_that_does_not_exist_is_told_in_uvs_words(layout: Layout, source: Path) -> None:
    need_packages()
    a_tree(source, {"requirements.txt": "itsdangerous==9999\n"})
    error = await refused(layout, a_command(source, "true"))
    assert error.what == "what requirements.txt asks for cannot be installed"
    assert "No solution found" in error.why
    assert "itsdangerous==9999" in error.detail
    log = f"{layout.releases('demo', 'web')}/build.log"
    assert error.detail.endswith(f"(everything uv said: {log})")
    assert "$ uv pip install" in Path(log).read_text()
    assert under(layout.environments) == []


async def test_a_requirements_file_with_an_error_shows_where(layout: Layout, source: Path) -> None:
    a_tree(source, {"requirements.txt": "flask>=\n"})
    error = await refused(layout, a_command(source, "true"))
    assert "Couldn't parse requirement in `requirements.txt`" in error.why
    assert "^" in error.detail


async def test_without_cache_and_network_the_failure_names_the_network(layout: Layout, source: Path) -> None:
    a_tree(source, {"requirements.txt": "itsdangerous==2.2.0\n"})
    error = await refused(layout, a_command(source, "true"), env=os.environ | NOWHERE)
    assert "Failed to fetch" in error.why
    assert "Connection refused" in error.detail
    assert error.next_step.startswith("check the network")


async def test_what_uv_says_names_the_users_own_files(layout: Layout, source: Path) -> None:
    a_tree(source, {"requirements.txt": "-r absent.txt\n"})
    error = await refused(layout, a_command(source, "true"))
    assert "failed to read from file `absent.txt`" in error.detail


async def test_a_project_for_another_python_is_told_to_name_one(layout: Layout, source: Path) -> None:
    project = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.99"\n'
    a_tree(source, {"pyproject.toml": project, "uv.lock": 'version = 1\nrequires-python = ">=3.99"\n'})
    error = await refused(layout, a_command(source, "true"))
    assert "`python:`" in error.next_step


async def test_a_program_that_is_not_there_is_refused_before_anything_is_launched(layout: Layout, source: Path) -> None:
    error = await refused(layout, a_command(a_tree(source, {"x": ""}), "no-such-program"))
    assert error.what == "cannot run no-such-program"


@pytest.mark.parametrize(
    ("text", "target", "what", "why"),
    [
        (WSGI, "shop:app", "cannot serve shop:app", "there is no module `shop`; the source has `app`"),
        (WSGI, "app:ap", "cannot serve app:ap", "module `app` has no `ap`; did you mean `app`?"),
        ("app = 3", "app:app", "cannot serve app:app", "an object of type int"),
        ("import absent", "app:app", "cannot import app:app", "No module named 'absent'"),
        ("def app(:", "app:app", "cannot import app:app", "SyntaxError"),
        ("import os; os._exit(5)", "app:app", "cannot import app:app", "ended the program with status 5"),
    ],
)
async def test_what_cannot_be_served_is_refused_at_the_place_of_app(
    shared_layout: Layout, source: Path, text: str, target: str, what: str, why: str
) -> None:
    need_packages()
    a_builder(shared_layout).prune("demo", "web", keep=())
    error = await refused(shared_layout, an_app(a_tree(source, {"app.py": text}), target))
    assert (error.place, error.what) == ("fairlead.yaml:3:10", what)
    assert why in error.why


async def test_a_package_that_is_missing_is_named_with_where_to_add_it(shared_layout: Layout, source: Path) -> None:
    need_packages()
    a_builder(shared_layout).prune("demo", "web", keep=())
    a_tree(source, {"app.py": "import vendored\n", ".gitignore": "vendored", "vendored/__init__.py": ""})
    error = await refused(shared_layout, an_app(source))
    assert "the folder vendored is left out by .gitignore" in error.next_step
    assert "Traceback" in error.detail
    assert "runner.py" not in error.detail


async def test_an_app_whose_import_never_ends_is_given_up(
    shared_layout: Layout, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_packages()
    a_builder(shared_layout).prune("demo", "web", keep=())
    monkeypatch.setattr("fairlead.releases.detect.PATIENCE", 0.1)
    text = "import time\nprint('waiting for the database', flush=True)\ntime.sleep(60)\n"
    service = an_app(a_tree(source, {"app.py": text}), health_check=HealthCheck(grace_period=1.0))
    error = await refused(shared_layout, service)
    assert error.why == "importing it did not end within 1 s"
    assert error.detail == "waiting for the database"
    assert "`health_check.grace_period`" in error.next_step


@pytest.mark.parametrize(
    ("text", "next_step"),
    [
        ("import os\nos.environ['SECRET_KEY']\n", "set SECRET_KEY under the service's `environment:`"),
        ("{}['SECRET_KEY']\n", "correct the app"),
        ("raise PermissionError(13, 'Permission denied', 'data.db')\n", "let the app write below $HOME"),
    ],
)
async def test_a_mistake_that_only_shows_here_comes_with_its_remedy(
    shared_layout: Layout, source: Path, text: str, next_step: str
) -> None:
    need_packages()
    a_builder(shared_layout).prune("demo", "web", keep=())
    error = await refused(shared_layout, an_app(a_tree(source, {"app.py": text})))
    assert next_step in error.next_step
    assert 'File "app.py", line' in error.detail, "the copy that was looked at is gone"


async def test_a_module_below_src_is_found_for_the_user(shared_layout: Layout, source: Path) -> None:
    need_packages()
    a_builder(shared_layout).prune("demo", "web", keep=())
    a_tree(source, {"src/shop/__init__.py": "", "src/shop/web.py": WSGI})
    error = await refused(shared_layout, an_app(source, "shop.web:app"))
    assert "it lies in src: set `environment: {PYTHONPATH: src}`" in error.next_step
    release = await build(shared_layout, an_app(source, "shop.web:app", environment={"PYTHONPATH": "src"}))
    assert release.interface == "wsgi"


# --- killed in the middle ---------------------------------------------------------------------------------------------

KILLED = """
import asyncio, os, sys
from pathlib import Path
from fairlead.core.layout import layout_of
from tests.releases.builders import a_builder, a_command, a_stack
home, source = sys.argv[1:]
service = a_command(Path(source), "python", "app.py")
told = lambda text: print(text, flush=True)
asyncio.run(a_builder(layout_of(home, os.geteuid())).build(a_stack(service), service, (), 1, told))
"""


async def test_a_builder_killed_in_the_middle_leaves_nothing_that_the_next_one_keeps(
    layout: Layout, source: Path
) -> None:
    need_packages()
    a_tree(source, {"requirements.txt": "itsdangerous==2.2.0\nflask==3.1.3\n", "app.py": ""})
    for when in ("copying", "installing"):
        argv = [sys.executable, "-c", KILLED, layout.home, str(source)]
        with subprocess.Popen(argv, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as killed:
            assert killed.stdout is not None
            for line in killed.stdout:
                if line.startswith(when):
                    break
            killed.send_signal(signal.SIGKILL)
        assert not any(name.isdecimal() for name in under(layout.releases("demo", "web")))
    assert any(name.startswith(".new-") for name in under(layout.releases("demo", "web")))
    release = await build(layout, a_command(source, "python", "app.py"))
    assert under(layout.releases("demo", "web")) == ["0001", "build.log"]
    argv = [f"{release.environment_folder}/bin/python", "-c", "import flask, itsdangerous"]
    assert subprocess.run(argv, check=False, timeout=20).returncode == 0


async def test_a_cancelled_build_leaves_nothing(layout: Layout, source: Path) -> None:
    need_packages()
    a_tree(source, {"requirements.txt": "itsdangerous==2.2.0\n"})
    began = asyncio.Event()
    service = a_command(source, "true")

    def told(text: str) -> None:
        if text.startswith("installing"):
            began.set()

    task = asyncio.create_task(a_builder(layout).build(a_stack(service), service, (), 1, told))
    async with asyncio.timeout(60):
        await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert under(layout.environments) == []
    assert not [name for name in under(layout.releases("demo", "web")) if name != "build.log"]


# --- as root ----------------------------------------------------------------------------------------------------------

BUILDER, APP = (61001, 61001), (61002, 61003)


async def test_as_root_packages_are_the_build_users_and_the_app_runs_as_its_own(
    layout: Layout, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(os.geteuid() == 0, "root, to build as another user")
    need_packages()
    # uv in a folder that is closed to everybody else.
    closed = source / "closed"
    closed.mkdir(mode=0o700)
    hidden = closed / "uv"
    shutil.copy2(find_uv_bin(), hidden)
    monkeypatch.setattr("fairlead.releases.uv.find_uv_bin", lambda: str(hidden))
    text = "import os\nassert (os.getuid(), os.getgid()) == (61002, 61003)\nassert os.getgroups() in ([], [61003])\n"
    a_tree(source, {"app.py": text + "import itsdangerous\n" + WSGI, "requirements.txt": "itsdangerous==2.2.0\n"})
    a_tree(source, {".gitignore": "closed\n"})
    (source / "app.py").chmod(0o600)
    before = os.umask(0o077)
    try:
        release = await build(layout, an_app(source), builder_user=BUILDER, app_user=APP)
    finally:
        os.umask(before)
    assert release.argv[-1] == "0117"
    assert release.environment_folder is not None
    assert {os.stat(path).st_uid for path in (release.environment_folder, layout.uv_cache, layout.servers)} == {
        BUILDER[0]
    }
    assert [name for name in under(layout.programs) if name.startswith("uv-")]
    folder = os.stat(os.path.dirname(release.source))
    assert (folder.st_uid, folder.st_gid, folder.st_mode & 0o777) == (0, APP[1], 0o750)
    look = [release.argv[0], "-c", "import itsdangerous; print(open('app.py').read())"]
    done = subprocess.run(look, cwd=release.source, user=APP[0], group=APP[1], extra_groups=[], capture_output=True)
    assert done.returncode == 0, done.stderr
    stranger = subprocess.run(
        ["/bin/cat", f"{release.source}/app.py"], user=61009, group=61009, extra_groups=[], capture_output=True
    )
    assert stranger.returncode != 0
