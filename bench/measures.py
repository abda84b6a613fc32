"""What is measured: rates next to their reference's, and single figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median


@dataclass(slots=True)
class Comparison:
    """Ours against a reference, round by round; all rates, so that more is better.

    A round is one measurement of each, right after one another, so what else the machine does
    meanwhile hits both. The ratio is the median of the rounds' ratios.
    """

    what: str
    unit: str
    at_least: float | None = None
    reference: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Ours over the reference's, of each round."""
        return [ours / reference for ours, reference in zip(self.ours, self.reference, strict=True)]

    @property
    def ratio(self) -> float:
        """The median round's ratio."""
        return median(self.ratios)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return None if self.at_least is None else self.ratio >= self.at_least

    def add(self, reference: float, ours: float) -> None:
        """One round's two rates."""
        self.reference.append(reference)
        self.ours.append(ours)
        say(
            f"{self.what}: round {len(self.ours)}, {reference:,.0f} and {ours:,.0f} {self.unit},"
            f" ratio {self.ratios[-1]:.2f}"
        )

    def measure(self, rounds: int, reference: Callable[[], float], ours: Callable[[], float]) -> None:
        """Alternates the two, the one that begins as well, so that none always finds a warm cache."""
        for number in range(rounds):
            if number % 2:
                our_rate, reference_rate = ours(), reference()
            else:
                reference_rate, our_rate = reference(), ours()
            self.add(reference_rate, our_rate)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number, with the most it may be if there is such a target."""

    what: str
    value: float
    unit: str
    at_most: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return None if self.at_most is None else self.value <= self.at_most


@dataclass(slots=True)
class Measured:
    """All that a run of the bench found."""

    comparisons: list[Comparison] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes, by a clock that only goes forward."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def say(what: str) -> None:
    """Progress, on stderr."""
    print(f"  {what}", file=sys.stderr, flush=True)
