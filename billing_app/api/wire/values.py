"""How values look on the wire, in and out."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, Strict, WithJsonSchema

from billing_app.domain.money import plain
from billing_app.domain.periods import label, parse_period
from billing_app.domain.rules import BrokenRule


class Body(BaseModel):
    """What a caller sends; an unknown field is refused."""

    model_config = ConfigDict(extra="forbid")


def _parse_day(value: object) -> date:
    if isinstance(value, date):
        return value
    try:
        if isinstance(value, str) and len(value) == 10:
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise BrokenRule("not_a_date")


def _moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


Period = Annotated[
    date,
    BeforeValidator(lambda value: value if isinstance(value, date) else parse_period(value)),
    PlainSerializer(label, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$", "examples": ["2026-10"]}
        | {"description": "A calendar month in UTC."}
    ),
]
Day = Annotated[
    date,
    BeforeValidator(_parse_day),
    PlainSerializer(date.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-03"]}),
]
Moment = Annotated[
    datetime,
    PlainSerializer(_moment_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-10-31T23:00:00Z"]}),
]
# Out: a decimal string, exact, in its one spelling.
Quantity = Annotated[
    Decimal,
    PlainSerializer(plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["1530.5"]}),
]
# In: whatever a service's parser takes, handed to it as it came, so that it is read once and exactly.
ExactNumber = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,14}(\.[0-9]{1,6})?$"},
                {"type": "number", "minimum": 0},
            ],
            "description": "A decimal number, zero or more, as text or as a number; read exactly.",
        }
    ),
]
Money = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["35.63"]}
        | {"description": "In major units, with all of the currency's decimals."}
    ),
]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", examples=["USD"], description="ISO 4217.")]
Version = Annotated[
    int, Strict(), Field(ge=1, examples=[1], description="The version that was read; refused as `stale`.")
]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
