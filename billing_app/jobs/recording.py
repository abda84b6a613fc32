"""Group commit: single events that arrive together are written together, each answered after its commit."""

from __future__ import annotations

import functools
from collections import deque
from concurrent.futures import Future
from threading import Lock, Thread
from typing import NamedTuple

from billing_app.db import Database, get_database
from billing_app.domain.actor import Actor
from billing_app.errors import BillingError
from billing_app.services.usage import RecordedUsage, UsageReport, record_usage_group

# More are refused: they would wait longer than their senders do.
WAITING_MAX = 10_000
GROUP_MAX = 1_000


class Busy(BillingError):
    """More is waiting to be recorded than can be soon; nothing was written."""

    status = 503
    code = "unavailable"


class _Waiting(NamedTuple):
    actor: Actor
    report: UsageReport
    answer: Future[RecordedUsage]


class UsageRecorder:
    """Records single events of one database, by one thread that lives while there is something to do.

    It takes all that is waiting and records it in one transaction for each actor, so that each
    actor's permission and READ ONLY rule hold; meanwhile the next gathers. Nobody waits for others
    to come: a lone event is written at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Waiting] = deque()
        self._lock = Lock()
        self._is_writing = False

    def submit(self, actor: Actor, report: UsageReport) -> Future[RecordedUsage]:
        """What `record_usage` answers or raises, known when the event is committed. Raises Busy."""
        answer: Future[RecordedUsage] = Future()
        with self._lock:
            if len(self._waiting) >= WAITING_MAX:
                refusal = Busy("More usage is arriving than can be recorded. Try again.")
                refusal.retry_after_seconds = 1
                raise refusal
            if not self._is_writing:
                Thread(target=self._write_all, name="usage-recorder", daemon=True).start()
                self._is_writing = True
            self._waiting.append(_Waiting(actor, report, answer))
        return answer

    def _write_all(self) -> None:
        while taken := self._take():
            groups: dict[Actor, list[_Waiting]] = {}
            for each in taken:
                # Who has gone away while waiting is not recorded; from here on nobody can.
                if each.answer.set_running_or_notify_cancel():
                    groups.setdefault(each.actor, []).append(each)
            for actor, group in groups.items():
                self._write(actor, group)

    def _take(self) -> list[_Waiting]:
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_MAX))]
            self._is_writing = bool(taken)
        return taken

    def _write(self, actor: Actor, group: list[_Waiting]) -> None:
        try:
            answers = self._database.call(actor, record_usage_group, [each.report for each in group])
        except Exception as error:  # noqa: BLE001 - whatever it was, everyone who waits is told
            # Nothing of the group was committed, or nobody can know: the senders' keys make it safe
            # to send again.
            for each in group:
                each.answer.set_exception(error)
            return
        for each, answer in zip(group, answers, strict=True):
            if isinstance(answer, BillingError):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)


def get_recorder() -> UsageRecorder:
    """The recorder of the process's database."""
    return _recorder_of(get_database())


@functools.lru_cache(maxsize=1)
def _recorder_of(database: Database) -> UsageRecorder:
    return UsageRecorder(database)
