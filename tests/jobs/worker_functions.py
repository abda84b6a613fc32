"""What the tests of worker processes execute in them."""

from __future__ import annotations

import logging
from typing import NoReturn

from sqlalchemy import text

from billing_app.database.session import Database, now
from billing_app.domain.actor import SYSTEM
from billing_app.errors import Conflict
from billing_app.jobs.worker_process import report_progress

logger = logging.getLogger(__name__)


def describe(database: Database, word: str, *, times: int) -> tuple[str, str]:
    print("printed text must not end up in the answer")
    for number in range(times):
        report_progress(number)
    with database.transaction(SYSTEM) as session:
        return word * times, now(session).isoformat()


def refuse(_database: Database) -> NoReturn:
    raise Conflict("period_open", period="2026-10")


def break_a_rule(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        session.execute(text("INSERT INTO customer_billing VALUES (77, '2026-01-01', '2026-01-01', 0)"))


def log_a_failure(_database: Database) -> None:
    try:
        raise ValueError("too small")
    except ValueError as error:
        logger.error("customer %s failed", 7, exc_info=error)


def sleep_in_a_transaction(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        session.execute(text("UPDATE issuer SET name = 'never'"))
        report_progress("sleeping")
        session.execute(text("SELECT pg_sleep(60)"))
