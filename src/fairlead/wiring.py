"""Builds the daemon and runs it. Nothing else constructs its own collaborators.

In: the home's path and the process's environment. Out: an exit status (0: asked to stop; 3: another daemon has the
home). The order of the steps is the order of `_run`; they are undone backwards. Instances and HAProxy are not the
daemon's to end: only `POST /shutdown` ends them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import TypeVar

from fairlead import __version__
from fairlead.aiokit.pidfd import boot_id
from fairlead.aiokit.tasks import Tasks
from fairlead.certificates.home import HomeCertificates
from fairlead.control.clock import SystemClock
from fairlead.control.delivery import RealCourier
from fairlead.control.disk import Disk
from fairlead.control.references import password_name
from fairlead.control.supervisor import Machine, Supervisor
from fairlead.core.launch import SYSTEM_PATH, Surroundings
from fairlead.core.layout import Layout, layout_of
from fairlead.engines.local.engine import LocalEngine
from fairlead.errors import FairleadError
from fairlead.haproxy.node import HaproxyNode
from fairlead.metrics.gauges import Gauges
from fairlead.metrics.meter import Meter
from fairlead.releases.build import ReleaseBuilder
from fairlead.resources.host import ResourceHost
from fairlead.resources.recipes import all_recipes
from fairlead.store.database import Store
from fairlead.store.home import Home, open_home
from fairlead.store.reserve import Reserve
from fairlead.store.users import SystemUsers, ensure_users

log = logging.getLogger("fairlead")
Result = TypeVar("Result")


def run_daemon(home: str, environment: Mapping[str, str] | None = None, *, patience: float = 0.0) -> int:
    """Run the daemon of `home` (absolute) in the foreground until it is asked to stop; its exit status.

    patience: seconds in which another daemon may let go of the home, for one that takes over from it.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    _raise_fd_limit()
    if patience:
        import fairlead.api.server  # noqa: F401 (now, while the other daemon still answers)
    layout = layout_of(home, os.getuid())
    try:
        users = ensure_users() if os.getuid() == 0 else None
        accounts = {"lb": users.lb, "app": users.app, "build": users.build, "data": users.data} if users else {}
        opened = _with_room(layout, lambda: open_home(layout, patience=patience, **accounts))
    except FairleadError as error:
        _complain(error)
        return error.exit_status
    try:
        return asyncio.run(_run(opened, users, os.environ if environment is None else environment))
    except FairleadError as error:
        _complain(error)
        return error.exit_status
    finally:
        opened.close()


async def _run(home: Home, users: SystemUsers | None, environment: Mapping[str, str]) -> int:
    layout = home.layout
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        store = _with_room(layout, lambda: Store.open(layout.database))
        stack.callback(store.close)
        _with_room(layout, lambda: store.check_place(layout.home))
        supervisor = Supervisor(_machine(layout, store, users, environment))
        disk = Disk(Reserve(layout.home), store, supervisor.journal, layout.home, lambda: home.in_place)
        store.on_failure = disk.failed
        if users and users.made:
            supervisor.journal.event("", "users_made", f"system users made: {', '.join(users.made)}")
        await supervisor.start()
        stack.push_async_callback(supervisor.close)
        tasks = Tasks("the daemon", lambda name, error: log.error("%s ended", name, exc_info=error))
        tasks.spawn("watch the disk", disk.watch())
        stack.push_async_callback(tasks.stop, 1.0)
        # Only now, with the listeners open again and the loops at work: it takes a tenth of a second to import.
        from fairlead.api.server import ApiServer

        api = ApiServer(supervisor, store, layout.api_socket, on_shutdown=stopping.set)
        await api.start()
        stack.push_async_callback(api.stop)
        await stopping.wait()
    log.info("the daemon leaves; what runs goes on")
    return 0


def _with_room(layout: Layout, work: Callable[[], Result]) -> Result:
    """Do `work`; where the disk is too full for it, once more without the home's reserve."""
    try:
        return work()
    except FairleadError as error:
        reserve = Reserve(layout.home)
        if not (reserve.explains(error) and reserve.give_up()):
            raise
        return work()


def _machine(layout: Layout, store: Store, users: SystemUsers | None, environment: Mapping[str, str]) -> Machine:
    """Every collaborator of the supervisor, real."""
    lb = (users.lb.uid, users.lb.gid) if users else None
    app = (users.app.uid, users.app.gid) if users else None
    build = (users.build.uid, users.build.gid) if users else None
    data = (users.data.uid, users.data.gid) if users else None
    search_path = SYSTEM_PATH if users else environment.get("PATH", SYSTEM_PATH)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    around = Surroundings(timezone=environment.get("TZ", ""))
    clock = SystemClock(boot_id())
    return Machine(
        store=store,
        engine=LocalEngine(layout, (*app, lb[1]) if app and lb else None),
        balancer=HaproxyNode(
            folder=layout.balancer_folder,
            programs=layout.programs,
            log_path=layout.balancer_log,
            home=layout.home,
            binary_override=environment.get("FAIRLEAD_HAPROXY") or None,
            user=lb,
            fd_limit=soft,
            cpus=len(os.sched_getaffinity(0)),
            certificates=HomeCertificates(layout.authority),
            access_logs=layout.access_logs,
            shared_access_logs=layout.shared_access_logs,
            search_path=search_path,
        ),
        resources=ResourceHost(
            layout, data, search_path, all_recipes(), lambda stack, id: store.vault.value(stack, password_name(id))
        ),
        builder=ReleaseBuilder(layout, env=environment, builder_user=build, app_user=app),
        clock=clock,
        layout=layout,
        around=around,
        courier=RealCourier(around, app),
        meter=Meter(layout.metrics),
        gauges=lambda tell, failed: Gauges(tell, clock.now, failed),
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        version=__version__,
        pid=os.getpid(),
        app_user=app,
    )


def _raise_fd_limit() -> None:
    """As high as allowed: HAProxy needs two descriptors a request, and inherits the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _complain(error: FairleadError) -> None:
    print(f"error: {error.sentence}", file=sys.stderr)
    for text in (error.detail, error.next_step):
        if text:
            print(text, file=sys.stderr)
