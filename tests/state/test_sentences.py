"""The sentences for errors."""

from __future__ import annotations

from datetime import date

from billing_app.errors import Conflict, Invalid
from billing_app.state.kit.errors import error_sentence


def test_month_is_written_in_words() -> None:
    error = Conflict("invoice_exists", number="ACME-0003", period=date(2026, 10, 1))
    assert error_sentence(error) == "October 2026 is already invoiced (ACME-0003)."
    error = Conflict("period_open", period=date(2026, 4, 1))
    assert error_sentence(error) == "April 2026 has not ended yet."


def test_entered_text_is_unchanged() -> None:
    error = Conflict("key_taken", key="run-2026-10")
    assert error_sentence(error) == "Another customer already has the key run-2026-10."


def test_broken_rule_names_its_field() -> None:
    error = Invalid("period", "not_a_period")
    assert error_sentence(error) == "period must be a month written as YYYY-MM, such as 2026-10."
