"""What a decision returns: actions, each with its reason in words, in the order in which they are to be done.

Every action is safe to repeat: the daemon may die after any of them, and the next decision is made from what is then
there. `wake_at` is when time alone will change the decision, if nothing else does before.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.core.processes import Outcome
from fairlead.core.resources.model import Resource
from fairlead.core.runs import Kind
from fairlead.core.traffic import Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """Give the balancer this routing for the stack; None takes the stack away from it."""

    routing: Routing | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Record the intent, start the program, register the target as `initial`."""

    service: str
    instance: str
    number: int
    release: int
    zone: str
    reason: str
    pooled: bool = False
    """For the warm pool: healthy, it gets no request until it is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enlist:
    """Record a target that fairlead does not run, and register it as `initial`."""

    service: str
    instance: str
    number: int
    address: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The intent is recorded, but the engine knows nothing of it: start the program now."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """It lives and the balancer lacks it: register the target as `initial`."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """It passed its first check, or is needed from the warm pool: requests from now on."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """It passed its first check, and waits in the warm pool."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """It is not needed any more, and returns to the warm pool: no new request from now on."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkDown:
    """Its process is gone: tell the balancer at once, before its checks find out."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """It has to go: no new request from now on. `failed_start`: it never came up, and that counts for the back-off."""

    instance: str
    reason: str
    failed_start: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """It is terminating, and the balancer still gives it requests (the daemon died in between): no new ones."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sever:
    """It was drained by hand, and has had its deregistration delay: end what still runs inside. It stays."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deregister:
    """The balancer lets go of it, ending what still runs inside."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """SIGTERM, once."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """SIGKILL to its whole group."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Its process is gone and the balancer has let go: clear what is left, record how it ended."""

    instance: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndStranger:
    """It runs, and nobody wants it: kill and clear it."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condemn:
    """It is to be replaced: it goes when another serves in its place."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """It was drained by hand and is returned: requests again, as its checks allow."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRun:
    """Record the run and start its program: a job, or what a release needs before its first instance."""

    kind: Kind
    name: str
    service: str
    release: int
    argv: tuple[str, ...]
    reason: str
    timeout: float | None = None
    scheduled_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipJob:
    """Its time has come and it is not started for it."""

    job: str
    scheduled_for: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRun:
    """The run is recorded, but the engine knows nothing of it: start its program now."""

    run: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRun:
    """SIGTERM, once; the reason is recorded before."""

    run: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KillRun:
    """SIGKILL to its whole group: it did not end within its service's stop_timeout."""

    run: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRun:
    """Its process is gone: clear what is left, record how it ended."""

    run: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartResource:
    """Record the launch, make its data folder if there is none, start its server."""

    resource: Resource
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkAvailable:
    """It answers: record since when."""

    resource: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopResource:
    """Tell it to end, once; its data stay."""

    resource: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KillResource:
    """SIGKILL to its whole group."""

    resource: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndResource:
    """Its process is gone: clear what is left, record how it ended. failed: it counts for the back-off."""

    resource: str
    failed: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """Desired capacity becomes another one: a policy, a schedule or a bound asks for it (`core.scaling.decide`)."""

    service: str
    before: int
    desired: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeed:
    """The deployment has reached its goal."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """The deployment failed: go back to the previous revision. `instance`, or `resource`, shows why best."""

    service: str
    instance: str
    reason: str
    resource: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """The stack was taken down and nothing of it runs: forget it."""

    reason: str


Action = (
    Configure
    | Launch
    | Enlist
    | Start
    | Register
    | Admit
    | Warm
    | Pool
    | MarkDown
    | Retire
    | Drain
    | Sever
    | Deregister
    | Stop
    | Kill
    | End
    | EndStranger
    | Condemn
    | Restore
    | StartRun
    | LaunchRun
    | SkipJob
    | StopRun
    | KillRun
    | EndRun
    | StartResource
    | MarkAvailable
    | StopResource
    | KillResource
    | EndResource
    | Resize
    | Succeed
    | GiveUp
    | Remove
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, and when to look again even if nothing happens (monotonic seconds; None: no time limit runs)."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
