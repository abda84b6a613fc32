"""What services say, as a person reads it."""

from __future__ import annotations

import pytest

from billing_app.errors import Conflict, Invalid
from billing_app.state.kit.errors import sentence


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("2026-10 is already invoiced: ACME-0003", "October 2026 is already invoiced: ACME-0003"),
        ("2026-04 of acme has no invoice yet", "April 2026 of acme has no invoice yet"),
        ("the key run-2026-10 is taken", "The key run-2026-10 is taken"),
        ("an event of 2026-10-31 is there", "An event of 2026-10-31 is there"),
        ("order 9999-12 is known", "Order 9999-12 is known"),
    ],
)
def test_months_are_written_in_words(said: str, read: str) -> None:
    assert sentence(Conflict(said)) == read


def test_a_rule_names_the_form_that_it_wants() -> None:
    assert sentence(Invalid("period", "must be a month such as 2026-10")).endswith("such as 2026-10")
