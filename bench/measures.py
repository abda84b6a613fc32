"""The kinds of measurement: rates compared with a reference, and single figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median


@dataclass(slots=True)
class Comparison:
    """The product's rate compared with a reference's, round by round. Higher is better.

    A round measures both directly after one another, so that other load on the machine affects both. The
    ratio is the median of the rounds' ratios.
    """

    what: str
    unit: str
    at_least: float | None = None
    reference: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """The product's rate divided by the reference's, for each round."""
        return [ours / reference for ours, reference in zip(self.ours, self.reference, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached, or None if there is none."""
        return None if self.at_least is None else self.ratio >= self.at_least

    def add(self, reference: float, ours: float) -> None:
        """Add the two rates of one round."""
        self.reference.append(reference)
        self.ours.append(ours)
        say(
            f"{self.what}: round {len(self.ours)}, {reference:,.0f} and {ours:,.0f} {self.unit},"
            f" ratio {self.ratios[-1]:.2f}"
        )

    def measure(self, rounds: int, reference: Callable[[], float], ours: Callable[[], float]) -> None:
        """Measure both in alternating order, so that neither always benefits from a warm cache."""
        for number in range(rounds):
            if number % 2:
                our_rate, reference_rate = ours(), reference()
            else:
                reference_rate, our_rate = reference(), ours()
            self.add(reference_rate, our_rate)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number, with its upper limit if it has one.

    `rounds` has the measurements that `value` was computed from, if there were several.
    """

    what: str
    value: float
    unit: str
    at_most: float | None = None
    rounds: tuple[float, ...] = ()

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached, or None if there is none."""
        return None if self.at_most is None else self.value <= self.at_most


@dataclass(slots=True)
class Measured:
    """All results of one run of the bench, complete or up to a failure.

    `growth` has figures by the number of events, see bench/growth.py. `failed` names the parts that failed.
    """

    comparisons: list[Comparison] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    growth: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def compare(self, what: str, unit: str, at_least: float | None = None) -> Comparison:
        """Add a comparison. Its rounds are kept even if a later one fails."""
        comparison = Comparison(what, unit, at_least)
        self.comparisons.append(comparison)
        return comparison


def seconds(work: Callable[[], object]) -> float:
    """Return how many seconds the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def say(line: str) -> None:
    """Print progress on standard error."""
    print(f"  {line}", file=sys.stderr, flush=True)
