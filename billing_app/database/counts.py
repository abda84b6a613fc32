"""Counts of what transactions did, for the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from threading import Lock

from sqlmodel import Session

CountKey = tuple[str, str]
"""What is counted and its outcome or kind, such as ("events", "recorded")."""

_INFO = "counts"


class Counts:
    """Counts by key that only grow. Several threads may add to them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[CountKey] = Counter()

    def add(self, counted: Mapping[CountKey, int]) -> None:
        """Add to several counts at once."""
        with self._lock:
            self._counts.update(counted)

    def of(self, what: str) -> dict[str, int]:
        """Return the counts of one thing by outcome or kind."""
        with self._lock:
            return {kind: count for (name, kind), count in self._counts.items() if name == what}


def count(session: Session, what: str, kind: str, amount: int = 1) -> None:
    """Count something when this transaction commits, and not at all if it is rolled back."""
    counted: Counter[CountKey] = session.info.setdefault(_INFO, Counter())
    counted[what, kind] += amount


def counted_in(session: Session) -> Mapping[CountKey, int]:
    """Return what the transaction counted so far."""
    counted: Counter[CountKey] = session.info.get(_INFO, Counter())
    return counted
