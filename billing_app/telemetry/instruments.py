"""Counters and timings that cost a fraction of a microsecond. They know nothing of how they are shown.

The instruments of prometheus-client take several microseconds each, which is too much for ten thousand
events a second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Distribution:
    """Counts how many values were at most as large as each bound. One thread adds, others may read."""

    __slots__ = ("_counts", "bounds", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float) -> None:
        """Add one value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative_counts(self) -> list[int]:
        """Return how many values were within each bound; the last one is the number of all values."""
        return list(accumulate(self._counts.copy()))
