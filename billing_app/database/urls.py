"""Reading database URLs, and naming what is wrong with one."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from billing_app.database.errors import DatabaseUnusable

_DRIVER = "postgresql+psycopg"
_SCHEMES = ("postgresql", "postgres", _DRIVER)
# Longer than any server that works takes to answer, and short enough to wait for the refusal.
_CONNECT_SECONDS_MAX = "10"
_FORM = "Write it as postgresql://user:password@host:5432/database."


def parse_database_url(url: str, setting: str) -> str:
    """Return the URL with the installed driver, UTF-8 and a time limit for connecting.

    `setting` is its name in messages. A time limit in the URL is kept.

    Raises:
        DatabaseUnusable: It is not a URL of a PostgreSQL database, names no user or no database, has a
            password that is not percent-encoded, or an option that PostgreSQL's client library does
            not know.
    """
    parsed = _parse(url, setting)
    if parsed.drivername not in _SCHEMES:
        raise DatabaseUnusable(
            f"{setting} starts with {parsed.drivername}://, but only PostgreSQL is supported. {_FORM}"
        )
    if not parsed.username:
        raise DatabaseUnusable(f"{setting} names no user. {_FORM}")
    if "@" in (parsed.host or ""):
        raise DatabaseUnusable(
            f"{setting} has more than one @. Write each @ of the password as %40, / as %2F and : as %3A. {_FORM}"
        )
    if not parsed.database:
        raise DatabaseUnusable(f"{setting} names no database. {_FORM}")
    try:
        conninfo_to_dict(plain_url(parsed))
    except psycopg.ProgrammingError as error:
        reason = str(error).strip().replace('"', "")
        raise DatabaseUnusable(f"{setting} can't be used: {reason}. {_FORM}") from None
    # Text is exchanged as UTF-8, whatever the encoding of the server and the environment.
    options = {"connect_timeout": _CONNECT_SECONDS_MAX, **parsed.query, "client_encoding": "utf8"}
    complete = parsed.set(drivername=_DRIVER, query=options)
    return complete.render_as_string(hide_password=False)


def _parse(url: str, setting: str) -> URL:
    try:
        return make_url(url.strip())
    except (ArgumentError, ValueError):
        raise DatabaseUnusable(f"{setting} is not a database URL. {_FORM}") from None


def plain_url(url: URL | str) -> str:
    """Return the URL as PostgreSQL's own tools read it, without SQLAlchemy's driver."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
