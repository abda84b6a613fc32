"""What callers send, checked: of the right type, bounded, storable.

Every function answers the value to store and raises Invalid, naming the field, for the rest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeVar

import email_validator

from billing_app.domain.periods import FIRST_YEAR, LAST_YEAR
from billing_app.domain.rules import BrokenRule
from billing_app.errors import Conflict, Invalid

NAME_MAX = 200
TEXT_MAX = 1000
REFERENCE_MAX = 200
_BIGINT_MAX = 2**63 - 1

# An installation of its own may well bill `ada@billing.local`.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

Value = TypeVar("Value")
Choice = TypeVar("Choice", bound=StrEnum)


def line(field: str, value: object, *, at_most: int, required: bool = True) -> str:
    """One line of text, trimmed; no control characters."""
    text = _text(field, value, at_most, required)
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise Invalid(field, "control_characters")
    return text


def like_pattern(wanted: str) -> str:
    """The text as LIKE finds it literally."""
    return re.sub(r"([\\%_])", r"\\\1", wanted)


def paragraph(field: str, value: object, *, at_most: int = TEXT_MAX) -> str:
    """Text of several lines, trimmed, possibly empty; no control characters but line ends."""
    text = _text(field, value, at_most, required=False).replace("\r\n", "\n")
    if any(unicodedata.category(character) == "Cc" and character != "\n" for character in text):
        raise Invalid(field, "control_characters")
    return text


def _text(field: str, value: object, at_most: int, required: bool) -> str:
    if not isinstance(value, str):
        raise Invalid(field, "not_text")
    text = value.strip()
    if required and not text:
        raise Invalid(field, "empty")
    if len(text) > at_most:
        raise Invalid(field, "too_long", at_most=at_most)
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise Invalid(field, "malformed_unicode")
    return text


def email(field: str, value: object) -> str:
    """An email address as written, trimmed. Whether it can be delivered to is not asked."""
    text = line(field, value, at_most=254)
    try:
        email_validator.validate_email(text, check_deliverability=False, globally_deliverable=False)
    except email_validator.EmailNotValidError:
        raise Invalid(field, "not_an_email") from None
    return text


def choice(field: str, value: object, choices: type[Choice]) -> Choice:
    """The member of the enumeration that the value names."""
    try:
        return choices(str(value))
    except ValueError:
        raise Invalid(field, "not_a_choice", choices=[str(each) for each in choices]) from None


def day(field: str, value: object) -> date:
    """A calendar day in the years that periods are counted in."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise Invalid(field, "not_a_date")
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise Invalid(field, "out_of_years", first=FIRST_YEAR, last=LAST_YEAR)
    return value


def period(field: str, value: object) -> date:
    """A billing period, as its first day."""
    if day(field, value).day != 1:
        raise Invalid(field, "not_a_first_day")
    return day(field, value)


def parsed(field: str, parse: Callable[..., Value], *arguments: Any) -> Value:
    """`parse(*arguments)`, one of the domain's parsers, with its BrokenRule named after the field."""
    try:
        return parse(*arguments)
    except BrokenRule as broken:
        raise Invalid.from_rule(field, broken) from None


def number(field: str, value: object) -> int:
    """The number of an id, within what the database can hold."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(field, "not_a_whole_number")
    # Beyond it nothing exists: any such number finds nothing.
    return value if 0 < value <= _BIGINT_MAX else 0


def refuse_stale(expected: object, actual: int, **newer: Any) -> None:
    """Raises Conflict (`stale`) unless the version is the newest, or none is given.

    `version` of its facts is the newest, `newer` its values.
    """
    if expected is not None and number("version", expected) != actual:
        raise Conflict("stale", version=actual, newer=newer)
