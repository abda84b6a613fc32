"""Validation of the values that callers send: type, length, and whether they can be stored and displayed.

Unless it says otherwise, a function returns the value to store, or raises Invalid naming the field.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeVar

from billing_app.domain.periods import FIRST_YEAR, LAST_YEAR
from billing_app.domain.rules import BrokenRule
from billing_app.errors import Conflict, Invalid
from billing_app.models.usage import IDEMPOTENCY_KEY_MAX
from billing_app.services.shared.characters import check_characters
from billing_app.services.shared.emails import is_email

NAME_MAX = 200
TEXT_MAX = 1000
REFERENCE_MAX = 200
_BIGINT_MAX = 2**63 - 1

Value = TypeVar("Value")
Choice = TypeVar("Choice", bound=StrEnum)


def line(field: str, value: object, *, at_most: int, required: bool = True) -> str:
    """Return one line of text, trimmed, made of visible characters."""
    return _text(field, value, at_most, required=required, line_breaks=False)


def paragraph(field: str, value: object, *, at_most: int = TEXT_MAX, required: bool = False) -> str:
    """Return text of several lines, trimmed, made of visible characters and line feeds."""
    unified = value.replace("\r\n", "\n") if isinstance(value, str) else value
    return _text(field, unified, at_most, required=required, line_breaks=True)


def _text(field: str, value: object, at_most: int, *, required: bool, line_breaks: bool) -> str:
    if not isinstance(value, str):
        raise Invalid(field, "not_text")
    # Normalized, so that a precomposed `é` equals an `e` with a combining accent.
    text = unicodedata.normalize("NFC", value.strip())
    if required and not text:
        raise Invalid(field, "empty")
    if len(text) > at_most:
        raise Invalid(field, "too_long", at_most=at_most)
    try:
        check_characters(text, line_breaks=line_breaks)
    except BrokenRule as broken:
        raise Invalid.from_rule(field, broken) from None
    return text


def like_pattern(wanted: str) -> str:
    """Return a LIKE pattern that matches the text literally."""
    return re.sub(r"([\\%_])", r"\\\1", wanted)


def parse_idempotency_key(value: object) -> str:
    """Return the key exactly as sent, because trimming could make two keys equal. Raises BrokenRule."""
    if not isinstance(value, str) or not 1 <= len(value) <= IDEMPOTENCY_KEY_MAX:
        raise BrokenRule("length", at_most=IDEMPOTENCY_KEY_MAX)
    check_characters(value)
    return value


def idempotency_key(field: str, value: object) -> str:
    """Return the key exactly as sent. Raises Invalid."""
    return parsed(field, parse_idempotency_key, value)


def email(field: str, value: object) -> str:
    """Return an email address as written, trimmed. Whether mail can be delivered to it is not checked."""
    text = line(field, value, at_most=254)
    if not is_email(text):
        raise Invalid(field, "not_an_email")
    return text


def choice(field: str, value: object, choices: type[Choice]) -> Choice:
    """Return the member of the enumeration that the value names."""
    try:
        return choices(str(value))
    except ValueError:
        raise Invalid(field, "not_a_choice", choices=[str(each) for each in choices]) from None


def day(field: str, value: object) -> date:
    """Return a calendar day in the years that billing periods cover."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise Invalid(field, "not_a_date")
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise Invalid(field, "out_of_years", first=FIRST_YEAR, last=LAST_YEAR)
    return value


def period(field: str, value: object) -> date:
    """Return a billing period, which is represented by its first day."""
    if day(field, value).day != 1:
        raise Invalid(field, "not_a_first_day")
    return day(field, value)


def parsed(field: str, parse: Callable[..., Value], *arguments: Any) -> Value:
    """Call one of the domain's parsers, and raise Invalid for the field when it raises BrokenRule."""
    try:
        return parse(*arguments)
    except BrokenRule as broken:
        raise Invalid.from_rule(field, broken) from None


def number(field: str, value: object) -> int:
    """Return the number of an id, or 0, which matches nothing, if it is too large for the database."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(field, "not_a_whole_number")
    return value if 0 < value <= _BIGINT_MAX else 0


def refuse_stale(expected: object, actual: int, **newer: Any) -> None:
    """Raise Conflict (`stale`) if the expected version is outdated.

    Its facts are the newest `version` and its values, `newer`.
    """
    if expected is not None and number("version", expected) != actual:
        raise Conflict("stale", version=actual, newer=newer)
