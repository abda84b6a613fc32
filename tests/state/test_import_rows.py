"""Rows of usage files as pages show them: an invisible character is shown by its code, and moves nothing."""

from __future__ import annotations

import pytest

from billing_app.services.shared.reasons import Reason
from billing_app.services.usage_imports.rows import RejectedRow
from billing_app.state.presenters.usage_imports import rejected_row

REASON = Reason("invalid", "idempotency_key", "control_characters")


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("k\u202e1", "k[U+202E]1"),
        ("\u2067k1", "[U+2067]k1"),
        ("k1\u200b", "k1[U+200B]"),
        ("k\t1", "k[U+0009]1"),
        ("k\u2028", "k[U+2028]"),
        ("k\udce91", "k\ufffd1"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("café-1", "café-1"),
    ],
    ids=ascii,
)
def test_key_of_a_rejected_row_is_shown_with_what_is_wrong_in_it(key: str, shown: str) -> None:
    row = rejected_row(RejectedRow(2, ("acme", key, "5", ""), "rejected", REASON))
    assert row.key == shown
    assert row.caption == f"acme · {shown} · 5"


def test_row_without_the_right_columns_is_shown_the_same_way() -> None:
    row = rejected_row(RejectedRow(2, ('acme,"k\u202e1,5',), "rejected", REASON))
    assert row.customer == 'acme,"k[U+202E]1,5'
