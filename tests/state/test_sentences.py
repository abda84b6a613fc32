"""The sentences for errors."""

from __future__ import annotations

import ast
from datetime import date
from pathlib import Path

from billing_app.errors import Conflict, Invalid
from billing_app.state.kit.errors import error_sentence
from billing_app.wording.refusals import REFUSALS
from billing_app.wording.rules import RULES


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


def codes_in(place: int, *names: str) -> set[str]:
    """Return the codes that the code writes as this argument of these errors."""
    calls = (
        node
        for path in (Path(__file__).parents[2] / "billing_app").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    )
    given = (call.args[place] for call in calls if len(call.args) > place)
    return {str(each.value) for each in given if isinstance(each, ast.Constant)}


def test_every_code_has_words() -> None:
    rules = codes_in(1, "Invalid", "UnreadableReport") | codes_in(0, "BrokenRule")
    refusals = codes_in(0, "Conflict", "NotFound", "Busy")
    assert len(rules) > 30
    assert len(refusals) > 30
    assert (rules - RULES.keys(), refusals - REFUSALS.keys()) == (set(), set())
