"""Explain database errors in one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError

from billing_app.database.errors import DatabaseUnusable
from billing_app.database.session import is_unavailable, sqlstate_of
from billing_app.settings import Settings

# By SQLSTATE: the text before PostgreSQL's message, and what to do.
_EXPLANATIONS = {
    "25006": ("The database is read-only", "Set DATABASE_URL to the primary server."),
    "42501": (
        "The role of {setting} lacks a privilege",
        "Run `billing migrate` with DATABASE_OWNER_URL set to a role that may create tables.",
    ),
    "42704": (
        "The database needs an object that does not exist",
        "Create it, and run `billing migrate` again.",
    ),
    "53100": ("The database's disk is full", "Free some space and try again."),
    "53300": (
        "The database has no connection left",
        "Raise max_connections, or close connections of other clients.",
    ),
    "57014": (
        "The database canceled a statement",
        "Raise statement_timeout for the role of {setting}, or set it to 0.",
    ),
    "55P03": (
        "Another session holds a lock that the migration needs",
        "Run `billing migrate` again when that session has ended.",
    ),
}


@contextmanager
def explain_failures(settings: Settings, *, as_owner: bool = False) -> Iterator[None]:
    """Convert database errors that an operator can fix into a sentence.

    Raises:
        DatabaseUnusable: For such an error. Other errors are bugs and propagate unchanged.
    """
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        sentence = _explain(error, settings, as_owner=as_owner)
        if sentence is None:
            raise
        raise DatabaseUnusable(sentence) from error


def _explain(error: Exception, settings: Settings, *, as_owner: bool) -> str | None:
    setting = "DATABASE_OWNER_URL" if as_owner and settings.database_owner_url else "DATABASE_URL"
    reason = _first_line(error)
    explanation = _EXPLANATIONS.get(sqlstate_of(error) or "")
    if explanation:
        problem, advice = explanation
        return f"{problem.format(setting=setting)}: {reason}. {advice.format(setting=setting)}"
    if not is_unavailable(error):
        return None
    if settings.database_url:
        return f"The database can't be reached: {reason}. Check {setting}."
    log = settings.data_dir / "postgres" / "server.log"
    return f"The embedded database can't be reached: {reason}. Its log is {log}."


def _first_line(error: Exception) -> str:
    """Return PostgreSQL's own message, without the driver's prefix and without a full stop."""
    original = getattr(error, "orig", None) or error
    primary = original.diag.message_primary if isinstance(original, psycopg.Error) else None
    line = (primary or str(original).strip()).splitlines()[0]
    return line.removeprefix("connection failed: ").removeprefix("connection is bad: ").rstrip(".")
