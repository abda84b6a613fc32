"""The types of values in requests and responses. Each is defined once, here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, Strict, WithJsonSchema

from billing_app.domain.money import Amount, major_text, plain
from billing_app.domain.periods import label, parse_date, parse_day, parse_period
from billing_app.domain.rules import BrokenRule

_DIGITS = re.compile("[0-9]+")


class Body(BaseModel):
    """A request body. Unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid")


class CustomerRef(BaseModel):
    """The customer that something belongs to."""

    id: str = Field(examples=["cus_12"])
    key: str = Field(examples=["acme"])
    name: str = Field(
        examples=["Acme Industrial Supply"],
        description="Empty in answers to an API token without the scope `read`.",
    )


def timestamp_text(moment: datetime) -> str:
    """Write a timestamp in UTC: `2026-10-31T23:00:00Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _check_digits(value: object) -> object:
    """Refuse what Python reads as a number and JSON does not, such as `1_0` and `+5`."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise BrokenRule("not_a_whole_number")
    return value


WholeNumber = Annotated[int, BeforeValidator(_check_digits)]
"""A whole number in a query, in ASCII digits."""
Period = Annotated[
    date,
    BeforeValidator(lambda value: value if isinstance(value, date) else parse_period(value)),
    PlainSerializer(label, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$", "examples": ["2026-10"]}
        | {"description": "A calendar month in UTC."}
    ),
]
Date = Annotated[
    date,
    BeforeValidator(lambda value: value if isinstance(value, date) else parse_date(value)),
    PlainSerializer(date.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-03"]}),
]
Day = Annotated[
    date,
    BeforeValidator(lambda value: value if isinstance(value, date) else parse_day(value)),
    PlainSerializer(date.isoformat, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])(-[0-9]{2})?$", "examples": ["2026-11-15"]}
        | {"description": "A day in UTC. In requests also a month, such as `2026-11`, for its first day."}
    ),
]
Timestamp = Annotated[
    datetime,
    PlainSerializer(timestamp_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-10-31T23:00:00Z"]}),
]
Quantity = Annotated[
    Decimal,
    PlainSerializer(plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["1530.5"]}),
]
"""A quantity in a response: an exact decimal string without trailing zeros."""
ExactNumber = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,14}(\.[0-9]{1,6})?$"},
                {"type": "number", "minimum": 0},
            ],
            "description": "A decimal number, zero or more, as a string or a number. It is read exactly.",
        }
    ),
]
"""A number in a request. It reaches the service unparsed, so that it is parsed in one place, exactly."""
Money = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["35.63"]}
        | {"description": "An amount in major units, with all decimals of its currency."}
    ),
]
Currency = Annotated[
    str, Field(pattern="^[A-Z]{3}$", examples=["USD"], description="An ISO 4217 currency code.")
]
Key = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": 255,
            "examples": ["bank-2026-11-03-000123"],
            "description": "Your own ID for what you record. If you retry with the same key, it is recorded"
            " once.",
        }
    ),
]
"""Unparsed, so that the service can reject it with the rule that it breaks."""
Version = Annotated[
    int,
    Strict(),
    Field(
        ge=1,
        examples=[1],
        description="The version that you read. If there is a newer one, nothing is changed and the"
        " response is 409 `stale`.",
    ),
]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def wire_facts(facts: Mapping[str, object]) -> dict[str, object]:
    """Return the facts of a refusal or discrepancy as members of a JSON object."""
    return {name: _wire_fact(value) for name, value in facts.items()}


def _wire_fact(value: object) -> object:
    if isinstance(value, Amount):
        return major_text(*value)
    return label(value) if isinstance(value, date) else value
