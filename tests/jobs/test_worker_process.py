"""Worker processes return results and errors, and end with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from billing_app.database.session import Database, sqlstate_of
from billing_app.errors import Conflict
from billing_app.jobs.worker_process import WorkerDied, WorkerProcess
from tests.conftest import Clock
from tests.jobs.worker_functions import (
    break_a_rule,
    describe,
    log_a_failure,
    logger,
    refuse,
    sleep_in_a_transaction,
)


def test_result_progress_and_clock(database: Database, clock: Clock) -> None:
    progress: list[object] = []
    with WorkerProcess(database) as process:
        for month in (11, 12):
            clock.set(2026, month, 3)
            answer = process.call_with_progress(progress.append, describe, "ab", times=2)
            assert answer == ("abab", database.clock().isoformat())
    assert progress == [0, 1, 0, 1]


def test_errors_are_raised_and_the_process_goes_on(database: Database) -> None:
    with WorkerProcess(database) as process:
        with pytest.raises(Conflict) as refusal:
            process.call(refuse)
        assert (refusal.value.code, refusal.value.facts) == ("period_open", {"period": "2026-10"})
        with pytest.raises(IntegrityError) as broken:
            process.call(break_a_rule)
        assert sqlstate_of(broken.value) == "23503"
        assert "break_a_rule" in str(broken.value.__cause__)
        assert process.call(describe, "a", times=1)[0] == "a"


def test_log_records_reach_the_caller_with_the_lines_of_code(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerProcess(database) as process:
        process.call(log_a_failure)
    (record,) = [each for each in caplog.records if each.name == logger.name]
    assert (record.levelname, record.getMessage()) == ("ERROR", "customer 7 failed")
    assert record.exc_info
    assert "log_a_failure" in str(record.exc_info[1].__cause__)  # type: ignore[union-attr]


def test_killed_process_is_reported(database: Database, owner: psycopg.Connection) -> None:
    with WorkerProcess(database) as process:

        def kill(_progress: object) -> None:
            os.kill(process.pid, signal.SIGKILL)

        with pytest.raises(WorkerDied):
            process.call_with_progress(kill, sleep_in_a_transaction)
        with pytest.raises(WorkerDied):
            process.call(describe, "a", times=1)


def test_signals_of_a_terminal_or_service_manager_do_not_end_the_process(database: Database) -> None:
    with WorkerProcess(database) as process:
        process.call(describe, "a", times=1)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(process.pid, number)
        assert process.call(describe, "a", times=1)[0] == "a"


def test_leaving_ends_the_process_in_the_middle_of_a_statement(database: Database) -> None:
    def leave(_progress: object) -> None:
        raise InterruptedError

    with WorkerProcess(database) as process:
        pid = process.pid
        with pytest.raises(InterruptedError):
            process.call_with_progress(leave, sleep_in_a_transaction)
    assert not psutil.pid_exists(pid)


_CALLER = """
import sys
from billing_app.database.session import Database
from billing_app.jobs.worker_process import WorkerProcess
from tests.jobs.worker_functions import sleep_in_a_transaction
with WorkerProcess(Database(sys.argv[1])) as process:
    process.call_with_progress(lambda _: print(process.pid, flush=True), sleep_in_a_transaction)
"""


def test_process_ends_when_its_caller_is_killed(database: Database) -> None:
    command = [sys.executable, "-c", _CALLER, database.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        worker = psutil.Process(int(caller.stdout.readline()))
        caller.kill()
    worker.wait(10)
