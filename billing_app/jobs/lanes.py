"""Lanes: batches of work on different customers that are processed in parallel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, Protocol, Self

from billing_app.database.session import Database
from billing_app.jobs.worker_process import WorkerDied, WorkerProcess

logger = logging.getLogger(__name__)


class LaneBatch(Protocol):
    """The next work of one lane."""

    @property
    def lane(self) -> int:
        """The number of the lane."""


class Lanes:
    """The lanes of one piece of work, which process their batches in parallel.

    Those of large work each get a process, because billing and hashing in Python take as long as the database
    does, and the threads of one process share a core for that. `superseded` is what the work raises for a
    batch that was already done.
    """

    def __init__(self, database: Database, name: str, superseded: type[Exception]) -> None:
        self._database, self._name, self._superseded = database, name, superseded
        self._processes: dict[int, WorkerProcess] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def process(
        self,
        batches: Sequence[LaneBatch],
        work: Callable[..., None],
        *arguments: Any,
        in_processes: bool,
    ) -> None:
        """Call `work(database, *arguments, batch)` for the batch of each lane, and wait for all of them."""
        if in_processes:
            for batch in batches:
                self._start_process(batch.lane)
        with ThreadPoolExecutor(max(1, len(batches))) as pool:
            for processed in [pool.submit(self._process, work, arguments, each) for each in batches]:
                processed.result()

    def _start_process(self, lane: int) -> None:
        if lane not in self._processes:
            self._processes[lane] = self._stack.enter_context(WorkerProcess(self._database))

    def _process(self, work: Callable[..., None], arguments: Sequence[Any], batch: LaneBatch) -> None:
        """Process a batch, in the lane's process if it has one. If that dies, process the batch here."""
        process = self._processes.get(batch.lane)
        if process is None:
            work(self._database, *arguments, batch)
            return
        try:
            process.call(work, *arguments, batch)
        except WorkerDied:
            logger.warning("a process of %s died; its batch is repeated", self._name)
            del self._processes[batch.lane]
            # It may have committed the batch before it died.
            with suppress(self._superseded):
                work(self._database, *arguments, batch)
