"""Fill facts into sentences."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from billing_app.domain.money import Amount
from billing_app.wording import values

Template = str | Callable[[Mapping[str, Any]], str]
"""Text with `{fact}` placeholders, or a function of the facts if the text depends on them."""


class _FactFormatter(string.Formatter):
    """Formats each fact according to its type, in US English notation."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return str(super().format_field(format_fact(value), format_spec))


_FORMATTER = _FactFormatter()


def fill(template: Template, facts: Mapping[str, Any]) -> str:
    """Return the template with the facts filled in."""
    if not isinstance(template, str):
        template = template(facts)
    return _FORMATTER.vformat(template, (), facts)


def format_fact(value: object) -> str:
    """Write one fact: a period as `October 2026`, an amount as `$6.63`, 10000 as `10,000`."""
    if isinstance(value, Amount):
        return values.money(value.amount_minor, value.currency)
    if isinstance(value, date):
        return values.month(value)
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return values.quantity(Decimal(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(format_fact, value))
    return str(value)


def capitalized(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]
