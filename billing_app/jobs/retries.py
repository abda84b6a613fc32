"""How background work handles failures: wait, retry, give up, or leave out the rows that cause them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import psycopg
from sqlalchemy.exc import DataError, SQLAlchemyError
from sqlmodel import Session

from billing_app.database.session import Database, is_retryable, is_unavailable, sqlstate_of
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.errors import BillingError
from billing_app.services.shared.reasons import Reason

logger = logging.getLogger(__name__)

# Consecutive failures without progress. The worker pauses longer after each of them.
ATTEMPTS_MAX = 5

# Classes of SQLSTATE: cardinality, data, integrity, view check, raised by a trigger, damaged storage.
# All others, such as a full disk or a missing table, are not caused by particular rows.
_CAUSED_BY_ROWS = frozenset({"21", "22", "23", "44", "P0", "XX"})


class CountFailedAttempt(Protocol):
    """A service that counts a failed attempt and returns whether the work is given up because of it."""

    def __call__(
        self, session: Session, actor: Actor, work: str, reason: Reason, /, *, attempts_max: int
    ) -> bool: ...


class Stopped(Exception):
    """The server is stopping. This is not a failure: the work resumes at the next start."""


@contextmanager
def giving_up_when_it_keeps_failing(
    database: Database, work: str, count_failed_attempt: CountFailedAttempt
) -> Iterator[None]:
    """Count the failures of one piece of work and give it up after `ATTEMPTS_MAX` of them.

    Errors propagate until the work is given up; the last one is logged instead. Failures don't count while
    the database can't be reached or when a transaction can be retried.
    """
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        if is_unavailable(error) or is_retryable(error):
            raise
        is_given_up = database.call(
            SYSTEM, count_failed_attempt, work, reason_of(error), attempts_max=ATTEMPTS_MAX
        )
        if not is_given_up:
            raise
        logger.error("%s failed too often and was given up.", work, exc_info=error)


def reason_of(error: Exception) -> Reason:
    """Return why work failed, without the details of database errors, which belong in the log only."""
    sqlstate = sqlstate_of(error)
    if sqlstate:
        return Reason("database_refused", facts={"sqlstate": sqlstate})
    return Reason("unexpected_error")


def is_caused_by_rows(error: Exception) -> bool:
    """Return whether the work failed because of the rows it processed and may succeed for others."""
    if sqlstate := sqlstate_of(error):
        return sqlstate[:2] in _CAUSED_BY_ROWS
    if isinstance(error, (DataError, psycopg.DataError)):
        return True
    return not isinstance(error, (Stopped, BillingError, SQLAlchemyError, psycopg.Error, OSError))
