"""The plan in effect in a month: the customer's newest subscription row that starts in it or before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Protocol, TypeVar


class StartsInMonth(Protocol):
    """A row that is in effect from a month until a later row replaces it."""

    @property
    def effective_from(self) -> date:
        """The first day of the row's first month."""
        ...


Row = TypeVar("Row", bound=StartsInMonth)


def in_effect(rows: Iterable[Row], month: date) -> Row | None:
    """Return the row in effect in a month, whatever the order of the rows; None before the first one.

    `services.plans.plan_in_effect` has the same rule in SQL.
    """
    started = [row for row in rows if row.effective_from <= month]
    return max(started, key=lambda row: row.effective_from) if started else None
