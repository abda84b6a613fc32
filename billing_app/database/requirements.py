"""Requirements that a database must meet, checked by every command."""

from __future__ import annotations

import string
from typing import NamedTuple

from sqlalchemy import Connection, text

from billing_app.database.errors import DatabaseUnusable

OLDEST_POSTGRESQL = 18
_VERSION = text(
    "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version')"
)
_CREATE = (
    "CREATE DATABASE tallybook TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin "
    "BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
)
_TEXT_RULES = text("""
    SELECT current_setting('server_encoding'), lower(:upper), upper(:lower)
""")


class TextRules(NamedTuple):
    """A database's encoding, and the result of its lower() and upper() for the ASCII letters."""

    encoding: str
    lowered: str
    uppered: str


def refuse_unsuitable_database(connection: Connection) -> None:
    """Raise an error if the server is too old, or the database does not treat text as Tallybook needs.

    Raises:
        DatabaseUnusable: The message says what is wrong and what to do.
    """
    major_version, name = connection.execute(_VERSION).one()
    if major_version < OLDEST_POSTGRESQL:
        raise DatabaseUnusable(
            f"The database server runs PostgreSQL {name.split()[0]}, but Tallybook needs PostgreSQL "
            f"{OLDEST_POSTGRESQL} or later. Upgrade the server, or use another one."
        )
    refuse_unsuitable_text(connection)


def refuse_unsuitable_text(connection: Connection) -> None:
    """Raise an error if the database can't store every text, or its locale has its own rule for ASCII case.

    Keys, email addresses and names are compared in lower case, in the database and in Python. With a
    Turkish locale the two disagree about the letter I, so a customer would not be found.

    Raises:
        DatabaseUnusable: The encoding is not UTF8, or the locale is unsuitable.
    """
    letters = {"upper": string.ascii_uppercase, "lower": string.ascii_lowercase}
    check_text_rules(TextRules(*connection.execute(_TEXT_RULES, letters).one()))


def check_text_rules(rules: TextRules) -> None:
    """Raise DatabaseUnusable unless the encoding is UTF8 and ASCII letters have their usual case."""
    if rules.encoding != "UTF8":
        raise DatabaseUnusable(
            f"The database's encoding is {rules.encoding}, which can't store every name. Create one with "
            f"UTF8 and use that: {_CREATE}"
        )
    if (rules.lowered, rules.uppered) != (string.ascii_lowercase, string.ascii_uppercase):
        raise DatabaseUnusable(
            "The database's locale has its own rule for upper and lower case (as Turkish does for the letter "
            f"I), so keys would not be found. Create one with another locale and use that: {_CREATE}"
        )
