"""Records single events in rounds: those that arrive at the same time share one transaction."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

from billing_app.database.kept_connection import Connection
from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import BillingError, Invalid
from billing_app.jobs.rounds import Rounds
from billing_app.services.shared.permissions import require
from billing_app.services.usage.recording import (
    RecordedUsage,
    UnreadableReport,
    UsageReport,
    parse_report,
    record_usage,
)
from billing_app.services.usage.recording_round import Report, prepare, record_round

# How long a round waits for a row that another transaction locks, such as one that inserts the same key.
# Most of them commit within the first. Finding the locked row in a round of a thousand takes ten of the second.
PATIENCE_MS = 1_000
PATIENCE_MS_LATE = 50


class RoundMetrics(Protocol):
    """Where the recorder counts what it did."""

    def round_recorded(
        self, size: int, seconds: float, *, recorded: int, duplicate: int, conflict: int, rejected: int
    ) -> None:
        """Count a committed round of single events."""

    def event_rejected(self) -> None:
        """Count a single event that was rejected before it was in a round."""


class UsageRecorder:
    """Records single events of all actors, each answered after its commit.

    If the database can't be reached, all events of a round get the error. Senders can retry, because each
    event has a key.
    """

    def __init__(self, database: Database, metrics: RoundMetrics) -> None:
        self._database = database
        self._metrics = metrics
        self._rounds: Rounds[Report, RecordedUsage] = Rounds(database, self._record, prepare)

    async def record(self, actor: Actor, report: UsageReport | UnreadableReport) -> RecordedUsage:
        """Record one event exactly once. The same report again returns the first event as a duplicate.

        Raises Forbidden before the event waits, NotFound (`customer_not_found`, `meter_not_found`), Conflict
        (`idempotency_conflict`, `customer_suspended`), Invalid, and Busy if too many events are
        waiting. Then nothing was recorded.
        """
        require(actor, Permission.RECORD_USAGE)
        if actor.read_only:
            # A round writes for all of its actors. A transaction of this actor alone is READ ONLY, so the
            # database refuses the event even if the check above is missing or wrong.
            return await asyncio.to_thread(self._database.call, actor, record_usage, report)
        try:
            row = parse_report(0, report)
        except Invalid:
            self._metrics.event_rejected()
            raise
        return await self._rounds.answer(Report(row, actor.id))

    @property
    def waiting(self) -> int:
        """How many events wait for the next round."""
        return self._rounds.waiting

    async def close(self) -> None:
        """Record what is waiting, then close the connection."""
        await self._rounds.close()

    async def _record(
        self, connection: Connection, reports: Sequence[Report], is_late: bool
    ) -> Sequence[RecordedUsage | BillingError]:
        started = perf_counter()
        patience_ms = PATIENCE_MS_LATE if is_late else PATIENCE_MS
        answers = await record_round(connection, reports, self._database.clock(), patience_ms=patience_ms)
        outcomes = Counter(map(_outcome, answers))
        self._metrics.round_recorded(
            len(reports),
            perf_counter() - started,
            recorded=outcomes["recorded"],
            duplicate=outcomes["duplicate"],
            conflict=outcomes["conflict"],
            rejected=outcomes["rejected"],
        )
        return answers


def _outcome(answer: RecordedUsage | BillingError) -> str:
    if isinstance(answer, BillingError):
        return "conflict" if answer.code == "idempotency_conflict" else "rejected"
    return answer.status
