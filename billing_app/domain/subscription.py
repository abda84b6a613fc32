"""The plan in effect on a day: the customer's newest subscription row that starts on it or before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Protocol, TypeVar


class StartsOnDay(Protocol):
    """A row that is in effect from a day until a later row replaces it."""

    @property
    def effective_from(self) -> date:
        """The row's first day."""
        ...


Row = TypeVar("Row", bound=StartsOnDay)


def in_effect(rows: Iterable[Row], day: date) -> Row | None:
    """Return the row in effect on a day, whatever the order of the rows; None before the first one.

    `services.plans.plan_in_effect` has the same rule in SQL.
    """
    started = [row for row in rows if row.effective_from <= day]
    return max(started, key=lambda row: row.effective_from) if started else None
