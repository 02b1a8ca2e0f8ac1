"""What fairlead is held to: one fact of AWS per test, marked with how far it holds.

`fact` marks a test; importing the test modules fills the registry, from which `fidelity` writes the page. Sections
are those of the sheet that the facts come from: A the load balancer, B its target groups, C its access log and metrics,
D auto scaling groups, E their policies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

Fidelity = Literal["real", "approximated", "refused", "absent", "beyond"]
"""`real`: as on AWS. `approximated`: nearly, and `how` says what is different. `refused`: AWS can do it, and here the
file is refused. `absent`: AWS tells or does it, and here nothing does; `how` says why, or what does it instead.
`beyond`: fairlead does more, and `how` says what, and what turns it off."""

Test = TypeVar("Test", bound=Callable[..., object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    section: str
    """`A3`, `B5` ..."""
    text: str
    """What AWS does, in a clause."""
    fidelity: Fidelity
    how: str
    message: str
    """What is said of a file that is refused: because fairlead cannot do it, or, of a `real` fact, because AWS refuses
    it as well. The test compares it."""
    test: str
    module: str


FACTS: list[Fact] = []
"""In the order of the modules and of the tests in them."""


def fact(section: str, text: str, fidelity: Fidelity, how: str = "", message: str = "") -> Callable[[Test], Test]:
    """Register the test below as the proof of a fact. Its name begins with the section: `test_a3_...`."""

    def mark(test: Test) -> Test:
        name = test.__name__
        assert name.startswith(f"test_{section.lower()}_"), f"{name} does not begin with test_{section.lower()}_"
        assert bool(how) == (fidelity in ("approximated", "absent", "beyond")), (
            f"{name}: how is said of what is different"
        )
        assert message or fidelity != "refused", f"{name}: what does the message say?"
        FACTS.append(
            Fact(
                section=section, text=text, fidelity=fidelity, how=how, message=message, test=name, module=test.__module__
            )
        )  # fmt: skip
        return test

    return mark


def fact_of(test: Callable[..., object]) -> Fact:
    """The fact that a test proves."""
    return next(one for one in FACTS if (one.module, one.test) == (test.__module__, test.__name__))
