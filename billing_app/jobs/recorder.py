"""Group commit: single events that arrive at the same time are written in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.errors import BillingError
from billing_app.jobs.gathering import Gatherer
from billing_app.services.usage.recording import (
    RecordedUsage,
    UnreadableReport,
    UsageReport,
    record_usage_group,
)

Report = UsageReport | UnreadableReport


class UsageRecorder:
    """Records single events, in one transaction per actor and round.

    So the actor's permissions apply to each event. If a transaction fails, all of its events get the error.
    Senders can retry, because each event has a key.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gatherer = Gatherer("usage-recorder", self._record)

    def submit(self, actor: Actor, report: Report) -> Future[RecordedUsage]:
        """Return a future with the outcome of `record_usage`, set once the event is committed.

        Raises Busy if too many events are waiting.
        """
        return self._gatherer.submit(actor, report)

    def _record(self, actor: Actor, reports: list[Report]) -> Sequence[RecordedUsage | BillingError]:
        return self._database.call(actor, record_usage_group, reports)
