"""Work in the background that fails again and again: given up for a reason, not tried for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlmodel import Session

from billing_app.database.session import Database, is_retryable, is_unavailable, sqlstate_of
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.services.shared.reasons import Reason

logger = logging.getLogger(__name__)

Note = Callable[[Session, Actor, str, Reason], bool]
"""Of a service: counts a failed attempt at the work of this id, for this reason; whether it is given up."""


class Stopped(Exception):
    """The server is stopping, which is no failure of what it was at."""


@contextmanager
def attempting(database: Database, work: str, note: Note) -> Iterator[None]:
    """Around one piece of work. What it raises goes on up, until the work is given up.

    A database that can't be reached, or that undid a transaction for no fault of its own, is waited for
    however long it takes.
    """
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        if is_unavailable(error) or is_retryable(error):
            raise
        if not database.call(SYSTEM, note, work, reason_of(error)):
            raise
        logger.error("%s is given up", work, exc_info=error)


def reason_of(error: Exception) -> Reason:
    """Return what went wrong. What a database says of its tables is in the server's log alone."""
    sqlstate = sqlstate_of(error)
    if sqlstate:
        return Reason("database_refused", facts={"sqlstate": sqlstate})
    return Reason("unexpected_error")
