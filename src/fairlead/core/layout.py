"""Where everything lies in a home, as pure text: nothing here looks at the disk.

The run folder holds the sockets. It lies in the home when its longest socket path fits `SOCKET_LIMIT` bytes and holds
nothing that HAProxy cannot read, else in a short folder named by the user's number and a hash of the home (DESIGN
section 8).
"""

from __future__ import annotations

from dataclasses import dataclass

SOCKET_LIMIT = 107
"""Bytes of a Unix socket's path that every Linux takes (`sun_path` less its end)."""

LONGEST_NAME = 30
"""Bytes of an instance's folder below `run/i`: `STACK.ID`, or its beginning and a hash when that is longer."""

LONGEST_DATA_NAME = LONGEST_NAME - len("/.s.PGSQL.65535") + len("/http.sock")
"""The same below `run/r`: PostgreSQL names its socket itself, and longer."""

LONGEST_SOCKET = len("/i/") + LONGEST_NAME + len("/http.sock")
"""Bytes of the longest socket path below the run folder."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one home. Build it with `layout_of`."""

    home: str
    run: str

    @property
    def database(self) -> str:
        return f"{self.home}/fairlead.db"

    @property
    def lock(self) -> str:
        return f"{self.home}/daemon.lock"

    @property
    def daemon_log(self) -> str:
        return f"{self.home}/logs/daemon.log"

    @property
    def balancer_log(self) -> str:
        """What HAProxy says, opened with O_APPEND: the engine's upkeep caps it."""
        return f"{self.home}/logs/haproxy.log"

    @property
    def api_socket(self) -> str:
        return f"{self.run}/daemon/api.sock"

    @property
    def balancer_folder(self) -> str:
        """HAProxy's configurations, runtime sockets and state; 0700."""
        return f"{self.run}/haproxy"

    @property
    def authority(self) -> str:
        """The development CA, and what it issued; 0700."""
        return f"{self.home}/ca"

    @property
    def uv_cache(self) -> str:
        return f"{self.home}/cache/uv"

    @property
    def environments(self) -> str:
        return f"{self.home}/envs"

    @property
    def servers(self) -> str:
        """Folders that hold Granian, one a Python version, beside the environments."""
        return f"{self.home}/python"

    @property
    def programs(self) -> str:
        """What fairlead copies to run as others: HAProxy's `bin/`, the runner; each in a folder named by version."""
        return f"{self.home}/programs"

    def stack(self, stack: str) -> str:
        return f"{self.home}/stacks/{stack}"

    def releases(self, stack: str, service: str) -> str:
        return f"{self.home}/stacks/{stack}/releases/{service}"

    def access_logs(self, stack: str) -> str:
        """The folder of a stack's access log; 0700. Of ports that several stacks share: `shared_access_logs`."""
        return f"{self.home}/stacks/{stack}/logs/access"

    @property
    def shared_access_logs(self) -> str:
        """The folder of the access log of ports that several stacks share."""
        return f"{self.home}/logs/access"

    @property
    def metrics(self) -> str:
        """The database of metrics; whoever loses it loses the past of metrics, and nothing else."""
        return f"{self.home}/metrics.db"

    def instance(self, stack: str, instance: str) -> str:
        """An instance's folder, FAIRLEAD_RUN: log, and what its launcher recorded. Never reused."""
        return f"{self.home}/stacks/{stack}/instances/{instance}"

    def instances(self, stack: str) -> str:
        return f"{self.home}/stacks/{stack}/instances"

    def instance_run(self, stack: str, instance: str) -> str:
        """An instance's own short-lived folder: its socket, and its HOME."""
        name = f"{stack}.{instance}"
        if len(name) > LONGEST_NAME:
            name = f"{name[: LONGEST_NAME - 11]}-{_digest(name)}"
        return f"{self.run}/i/{name}"

    @property
    def vault_key(self) -> str:
        """What secrets are encrypted with; 0600."""
        return f"{self.home}/secret.key"

    def resources(self, stack: str) -> str:
        return f"{self.home}/stacks/{stack}/resources"

    def resource(self, stack: str, id: str) -> str:
        """A resource's folder: `data`, `log`, and `launches/N`, which its launcher writes to. It outlives `down`."""
        return f"{self.home}/stacks/{stack}/resources/{id}"

    def resource_run(self, stack: str, id: str) -> str:
        """A resource's own short-lived folder, for the socket by which the daemon asks it."""
        name = f"{stack}.{id}"
        if len(name) > LONGEST_DATA_NAME:
            name = f"{name[: LONGEST_DATA_NAME - 11]}-{_digest(name)}"
        return f"{self.run}/r/{name}"

    def instance_socket(self, stack: str, instance: str) -> str:
        return f"{self.instance_run(stack, instance)}/http.sock"


def layout_of(home: str, uid: int) -> Layout:
    """The layout of `home` (absolute) for the user `uid`."""
    run = f"{home}/run"
    too_long = len(run.encode(errors="surrogateescape")) + LONGEST_SOCKET > SOCKET_LIMIT
    # HAProxy reads these in the path of a socket as something else, and they cannot be escaped.
    if too_long or any(character in "$," or not character.isprintable() for character in run):
        run = f"/tmp/fairlead-{uid}-{_digest(home)}"  # noqa: S108 (owner and mode are checked where it is made)
    return Layout(home, run)


def _digest(text: str) -> str:
    # Imported only where a path is too long: it brings OpenSSL with it, and every command pays for this module.
    import hashlib

    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:10]
