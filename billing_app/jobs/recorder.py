"""Group commit: single events that arrive together are written together, each answered after its commit."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.errors import BillingError
from billing_app.jobs.gathering import Gathering
from billing_app.services.usage.recording import RecordedUsage, UsageReport, record_usage_group


class UsageRecorder:
    """Records single events of one database, in one transaction for each actor of a round.

    So each actor's permission and READ ONLY rule hold. When a transaction fails, nothing of its group
    was committed, or nobody can know: the senders' keys make it safe to send again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gathering = Gathering("usage-recorder", self._write)

    def submit(self, actor: Actor, report: UsageReport) -> Future[RecordedUsage]:
        """What `record_usage` answers or raises, known when the event is committed. Raises Busy."""
        return self._gathering.ask(actor, report)

    def _write(self, actor: Actor, reports: list[UsageReport]) -> Sequence[RecordedUsage | BillingError]:
        return self._database.call(actor, record_usage_group, reports)
