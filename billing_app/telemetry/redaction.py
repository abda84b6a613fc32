"""Keeping personal data and secrets out of the log, whatever an error's message contains.

Our own log lines contain neither. The messages of errors often do: a value that could not be parsed, a
row that broke a constraint, the parameters of a statement.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError, StatementError

from billing_app.errors import BillingError

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_SECRETS = (
    (re.compile(r"://[^/\s:@]+:[^/\s@]+@"), "://[credentials]@"),
    (re.compile(r"\btbk_[A-Za-z0-9_-]+"), "[token]"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), "[token]"),
    (re.compile(r"\bbearer\s+\S+", re.IGNORECASE), "Bearer [token]"),
    (re.compile(r"\btallybook_\w+=[^;\s]+"), "[cookie]"),
    (re.compile(r"\bpassword=\S+", re.IGNORECASE), "password=[secret]"),
    (re.compile(r"[^\s@'\"<>(),;:]{1,64}@[^\s@'\"<>(),;:]+\.\w{2,}"), "[email]"),
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
# Their messages are about the code and not about values.
_ABOUT_CODE = (AttributeError, ImportError, NameError, TypeError, BillingError)
# Class 22: the message quotes the value that PostgreSQL could not read.
_DATA_EXCEPTION = "22"


def redact(text: str) -> str:
    """Return the text without email addresses, tokens, cookies and passwords."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def format_exception(exc_info: ExcInfo) -> str:
    """Return the traceback of an error and its causes. Messages that may contain data are cut."""
    return "\n\n".join(_format_one(error) for error in _causes(exc_info[1]))


def _format_one(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return f"{frames}{name}: {redact(_describe(error))}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error after what caused it, and the errors of a group before the group."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _causes(before)
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _causes(each)
    yield error


def _describe(error: BaseException) -> str:
    if isinstance(error, psycopg.Error):
        return _describe_database_error(error)
    if isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.Error):
        return _describe_database_error(error.orig)
    if isinstance(error, StatementError):
        return "a statement could not be executed"
    if callable(errors := getattr(error, "errors", None)):
        return _describe_invalid_values(errors)
    return str(error) if isinstance(error, _ABOUT_CODE) else _QUOTED.sub("'...'", str(error))


def _describe_database_error(error: psycopg.Error) -> str:
    """Return the code, the table and the constraint. The details of the message contain a row's values."""
    if not error.sqlstate:
        return _QUOTED.sub("'...'", str(error).partition("\n")[0])
    facts = [error.sqlstate]
    if not error.sqlstate.startswith(_DATA_EXCEPTION):
        facts.append(error.diag.message_primary or "")
    facts += [f"{name} {value}" for name, value in _places(error.diag)]
    return ", ".join(filter(None, facts))


def _places(diag: psycopg.errors.Diagnostic) -> Iterator[tuple[str, str]]:
    named = {"table": diag.table_name, "column": diag.column_name, "constraint": diag.constraint_name}
    for name, value in named.items():
        if value:
            yield name, value


def _describe_invalid_values(errors: Any) -> str:
    """Return the rules that values broke (pydantic), without the values."""
    try:
        return "invalid: " + ", ".join(sorted({str(each["type"]) for each in errors()}))
    except Exception:  # noqa: BLE001 - somebody else's errors of another form
        return "invalid"
