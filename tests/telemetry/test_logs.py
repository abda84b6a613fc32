"""The log: one JSON object per line, with the request's id, and without personal data or secrets."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel
from sqlalchemy import text

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.telemetry import logs
from billing_app.telemetry.redaction import redact
from billing_app.telemetry.request_ids import REQUEST_ID
from tests.factories import make_customer

logger = logging.getLogger("billing_app.tests")
# Not written out where it is used, because tracebacks show the lines of the source.
SECRET = "zanzibar"


class Log:
    """Collects what would be written."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(logs.create_formatter(as_json=True))

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text.splitlines()[-1])
        return found


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    logging.getLogger().addHandler(made.handler)
    yield made
    logging.getLogger().removeHandler(made.handler)


def test_line_is_an_object_with_time_level_logger_and_facts(log: Log) -> None:
    logger.warning("Disk %s is nearly full.", "a", extra={"free_bytes": 7})
    assert log.last.keys() == {"event", "free_bytes", "level", "logger", "timestamp"}
    assert log.last["event"] == "Disk a is nearly full."
    assert (log.last["level"], log.last["logger"]) == ("warning", "billing_app.tests")
    assert log.last["timestamp"].endswith("Z")


def test_line_of_a_library_has_the_id_of_the_request(log: Log) -> None:
    token = REQUEST_ID.set("mine")
    logging.getLogger("sqlalchemy.pool").warning("connection lost")
    REQUEST_ID.reset(token)
    assert log.last["request_id"] == "mine"
    logging.getLogger("sqlalchemy.pool").warning("connection lost")
    assert "request_id" not in log.last


def log_failure(work: Any) -> None:
    try:
        work()
    except Exception:
        logger.exception("failed")


def test_row_that_broke_a_constraint_is_not_logged(database: Database, log: Log) -> None:
    make_customer(database, name=f"{SECRET} Ltd", email=f"boss@{SECRET}.example")

    def insert_again() -> None:
        with database.transaction(SYSTEM) as session:
            session.execute(
                text("""
                    INSERT INTO customer OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(c, jsonb_build_object(
                        'customer_id', customer_id + 1, 'key', CAST(:name AS text)
                    ))).* FROM customer c
                """),
                {"name": SECRET},
            )

    log_failure(insert_again)
    assert SECRET not in log.text
    assert "23505" in log.last["exception"]
    assert "test_logs.py" in log.last["exception"]


def test_value_that_could_not_be_read_is_not_logged(database: Database, log: Log) -> None:
    class Person(BaseModel):
        age: int

    def in_database() -> None:
        with database.transaction(SYSTEM) as session:
            session.execute(text("SELECT CAST(:value AS integer)"), {"value": SECRET})

    def by_driver() -> None:
        psycopg.connect(f"host={SECRET} password={SECRET} options")

    for work in (
        in_database,
        by_driver,
        lambda: Person.model_validate({"age": SECRET}),
        lambda: int(SECRET),
        lambda: {}[SECRET],
    ):
        log_failure(work)
        assert log.last["level"] == "error"
    assert SECRET not in log.text


def test_causes_and_groups_of_errors_are_shown(log: Log) -> None:
    def fail() -> None:
        try:
            raise OSError("first of boss@zanzibar.example")
        except OSError as error:
            raise ExceptionGroup("several", [LookupError("second")]) from error

    log_failure(fail)
    shown = log.last["exception"]
    assert shown.index("OSError: first of [email]") < shown.index("LookupError: second")
    assert shown.index("LookupError: second") < shown.index("ExceptionGroup: several")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("sent to josé.o'neil@bücher.example, twice", "[email]"),
        ("postgresql://app:s3cret@db/tallybook", "postgresql://[credentials]@db/tallybook"),
        ("host=db password=s3cret user=app", "host=db password=[secret] user=app"),
        ("Authorization: Bearer s3cret", "Authorization: Bearer [token]"),
        ("tbk_aB3-x_s3cret and", "[token] and"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzM2NyZXQifQ.s3cret", "[token]"),
        ("tallybook_session=s3cret; a=b", "[cookie]; a=b"),
        ("at /srv/app.py:12 in 3 @ 5", "at /srv/app.py:12 in 3 @ 5"),
    ],
)
def test_secrets_are_replaced(written: str, shown: str) -> None:
    assert shown in redact(written)
    assert not {"s3cret", "neil", "bücher"} & set(redact(written).replace("@", " ").split())


def test_error_of_a_task_is_logged_without_its_values(log: Log) -> None:
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: ValueError('Zanzibar')")
    assert log.last["event"] == "Task exception was never retrieved"


def test_end_of_a_thread_is_logged(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", logs._log_end_of_thread)
    thread = threading.Thread(target=lambda: 1 / 0, name="counting")
    thread.start()
    thread.join()
    assert log.last["event"] == "A thread ended with an error: counting"
    assert "ZeroDivisionError" in log.last["exception"]


def test_terminal_gets_readable_lines() -> None:
    record = logging.LogRecord("billing_app", logging.WARNING, "", 0, "to boss@zanzibar.example", (), None)
    line = logs.create_formatter(as_json=False).format(record)
    assert "to [email]" in line
    assert not line.startswith("{")
