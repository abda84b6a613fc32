"""The reason why a row was rejected, a customer was not invoiced, or a job failed: a code and facts.

Stored as JSON with the row, customer or job that it explains. `billing_app.wording.refusals` has the
sentences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from typing import Any

from billing_app.domain.money import Amount
from billing_app.domain.periods import label, parse_period
from billing_app.errors import BillingError


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """A stable code with its facts. `field` and `rule` are empty if no field is wrong."""

    code: str
    field: str = ""
    rule: str = ""
    facts: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, error: BillingError) -> Reason:
        """Convert a refusal to a reason."""
        if error.errors:
            first = error.errors[0]
            return cls(error.code, first.field, first.rule, first.facts)
        return cls(error.code, facts=error.facts)

    def as_json(self) -> dict[str, Any]:
        """Return what a JSONB column holds; `from_json` reads it."""
        return dataclasses.asdict(self) | {"facts": facts_to_json(self.facts)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Reason:
        """Read what `as_json` wrote."""
        return cls(stored["code"], stored["field"], stored["rule"], facts_from_json(stored["facts"]))


def facts_to_json(facts: Mapping[str, object]) -> dict[str, Any]:
    """Return the facts as JSON holds them; `facts_from_json` reads them."""
    return {name: _to_json(value) for name, value in facts.items()}


def facts_from_json(stored: Mapping[str, Any]) -> dict[str, object]:
    """Read what `facts_to_json` wrote."""
    return {name: _from_json(value) for name, value in stored.items()}


def _to_json(value: object) -> object:
    if isinstance(value, Amount):
        return {"amount_minor": value.amount_minor, "currency": value.currency}
    return {"period": label(value)} if isinstance(value, date) else value


def _from_json(value: Any) -> object:
    if isinstance(value, dict):
        return parse_period(value["period"]) if "period" in value else Amount(**value)
    return value
