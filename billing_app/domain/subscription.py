"""The plan in effect on a day, and what a change of plan from a day on leaves of a subscription."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Protocol, TypeVar


class StartsOnDay(Protocol):
    """A row that is in effect from a day until a later row replaces it."""

    @property
    def effective_from(self) -> date:
        """The row's first day."""
        ...


class PlanFromDay(StartsOnDay, Protocol):
    """A row that says which plan is in effect, None after a cancellation."""

    @property
    def plan_id(self) -> int | None:
        """The plan version."""
        ...


Row = TypeVar("Row", bound=StartsOnDay)
PlanRow = TypeVar("PlanRow", bound=PlanFromDay)


def in_effect(rows: Iterable[Row], day: date) -> Row | None:
    """Return the row in effect on a day, whatever the order of the rows; None before the first one.

    `services.plans.plan_in_effect` has the same rule in SQL.
    """
    started = [row for row in rows if row.effective_from <= day]
    return max(started, key=lambda row: row.effective_from) if started else None


def replace_from(rows: Sequence[PlanRow], change: PlanRow) -> tuple[PlanRow, ...]:
    """Return the rows, which are in order, with everything from the change's first day on replaced by it.

    A change to the plan that is in effect anyway only removes later rows. The rows are returned unchanged if
    the plan of every day stays the same.
    """
    kept = [row for row in rows if row.effective_from < change.effective_from]
    is_continued = bool(kept) and kept[-1].plan_id == change.plan_id
    after = tuple(kept if is_continued else [*kept, change])
    return tuple(rows) if _list_changes(after) == _list_changes(rows) else after


def _list_changes(rows: Sequence[PlanFromDay]) -> list[tuple[date, int | None]]:
    """Return the days on which the plan changes. Before the first row there is none."""
    before = [None, *(row.plan_id for row in rows)]
    return [
        (row.effective_from, row.plan_id)
        for row, plan_id in zip(rows, before, strict=False)
        if row.plan_id != plan_id
    ]


def runs_from(rows: Sequence[PlanRow], start: date) -> list[tuple[date, date | None, PlanRow]]:
    """Return the runs of days from `start` on with the row in effect in each. The last one has no end."""
    ends = [*(row.effective_from for row in rows[1:]), None]
    return [
        (max(row.effective_from, start), end, row)
        for row, end in zip(rows, ends, strict=True)
        if end is None or end > start
    ]
