"""The formats of amounts and times on pages."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing_app.state.kit import address, text


def test_currencies_have_their_own_decimals() -> None:
    assert text.money(663, "USD") == "$6.63"
    assert text.money(7, "JPY") == "¥7"
    assert text.money(1234567, "KWD") == "KWD\N{NO-BREAK SPACE}1,234.567"
    assert text.money(-2, "USD") == "−$0.02"
    assert text.exact_money(Decimal("7.25"), "JPY") == "¥7.25"
    assert text.exact_money(Decimal("0.000000000001"), "USD") == "$0.000000000001"
    assert text.money(10**30, "USD").startswith("$10,000,000,000")


def test_times_are_in_the_viewers_zone_and_in_utc() -> None:
    moment = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    assert text.timestamp(moment, text.find_zone("Europe/Berlin")) == "Nov 1, 2026, 00:30:00"
    assert text.timestamp_utc(moment) == "2026-10-31 23:30:00 UTC"


@pytest.mark.parametrize(
    "name", ["", "Nowhere/Land", "../../etc/passwd", "/etc/passwd", "\0", "Europe", "x" * 999]
)
def test_unknown_zone_is_utc(name: str) -> None:
    assert str(text.find_zone(name)) == "UTC"


def test_trail_leads_forward_and_back() -> None:
    trail = address.next_trail("", "a")
    trail = address.next_trail(trail, "b")
    assert address.cursor_of(trail) == "b"
    assert address.cursor_of(address.previous_trail(trail)) == "a"
    assert address.cursor_of(address.previous_trail(address.previous_trail(trail))) is None
    assert address.next_trail(trail, None) == ""
    for step in range(100):
        trail = address.next_trail(trail, str(step))
    assert address.cursor_of(trail) == "99"
    assert trail.count("~") < address.TRAIL_MAX
