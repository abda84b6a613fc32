"""The daily usage of the demo's customers, fully determined by the customer and the day."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from billing_app.demo.company import SEATS, TILES
from billing_app.demo.customers import DemoCustomer
from billing_app.services.usage.recording import UsageReport


class _Pattern(NamedTuple):
    """Factors by weekday, from Monday, and by calendar month, from January."""

    week: tuple[float, ...]
    year: tuple[float, ...]


_EVEN = (1.0,) * 12
_PATTERNS = {
    "office": _Pattern((1.25, 1.32, 1.30, 1.24, 1.05, 0.45, 0.39), (*_EVEN[:6], 0.9, 0.86, *_EVEN[:3], 0.9)),
    "shop": _Pattern(
        (0.88, 0.90, 0.93, 0.98, 1.08, 1.19, 1.04),
        (0.85, 0.86, 0.92, 0.96, 1.0, 0.97, 0.95, 0.96, 1.0, 1.06, 1.32, 1.45),
    ),
    "travel": _Pattern(
        (0.90, 0.86, 0.88, 0.95, 1.14, 1.18, 1.09),
        (0.78, 0.82, 0.92, 1.02, 1.12, 1.27, 1.42, 1.38, 1.06, 0.92, 0.80, 0.98),
    ),
    "freight": _Pattern(
        (1.22, 1.26, 1.25, 1.23, 1.18, 0.55, 0.31),
        (0.92, 0.94, 0.99, 1.0, 1.0, 1.0, 0.97, 0.98, 1.03, 1.1, 1.18, 1.12),
    ),
    "steady": _Pattern((1.03, 1.04, 1.03, 1.02, 1.0, 0.95, 0.93), _EVEN),
}
_DAYS_OF_MONTH = 30.4
# Larger customers report their usage more often.
_LARGE, _MEDIUM = 1_000_000, 100_000


def list_request_reports(customer: DemoCustomer, day: date, month: int) -> Iterator[UsageReport]:
    """Yield the customer's requests of one UTC day, in order of time. `month` is the number of the month."""
    dice = random.Random(f"{customer.key} {day}")
    hours = 3 if customer.units >= _LARGE else 6 if customer.units >= _MEDIUM else 12
    whole = _count_units(customer, day, month, dice)
    for hour in range(0, 24, hours):
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(
            hours=hour + hours - 1, minutes=dice.randrange(50, 60), seconds=dice.randrange(60)
        )
        share = _daytime_factor(hour + hours / 2) * dice.uniform(0.9, 1.1) * hours / 24
        key = f"gw{dice.randrange(1, 5)}-{moment:%Y%m%dT%H%M%S}-{dice.getrandbits(40):010x}"
        yield UsageReport(customer.key, key, round(whole * share), moment)


def list_map_reports(
    customer: DemoCustomer, day: date, month: int, *, is_first_day: bool
) -> Iterator[UsageReport]:
    """Yield the map tiles of one UTC day, and the seats twice a month and on the first day of the plan."""
    dice = random.Random(f"{customer.key} {day} maps")
    tiles = round(_count_units(customer, day, month, dice) * dice.uniform(0.24, 0.36))
    if is_first_day or day.day in (1, 15):
        seats = 2 + customer.units // 200_000 + (month - customer.month) // 2 + dice.randrange(2)
        yield _daily_report(customer, day, 6, SEATS.code, seats)
    yield _daily_report(customer, day, 23, TILES.code, tiles)


def _daily_report(customer: DemoCustomer, day: date, hour: int, meter: str, quantity: int) -> UsageReport:
    moment = datetime(day.year, day.month, day.day, hour, 30, tzinfo=UTC)
    return UsageReport(customer.key, f"{meter}-{day:%Y%m%d}", quantity, moment, meter)


def _count_units(customer: DemoCustomer, day: date, month: int, dice: random.Random) -> float:
    pattern = _PATTERNS[customer.use]
    grown = customer.units / _DAYS_OF_MONTH * customer.growth ** (month - customer.month)
    busy = 1.9 if dice.random() < 0.015 else 1.0
    return grown * pattern.week[day.weekday()] * pattern.year[day.month - 1] * busy * dice.uniform(0.86, 1.14)


def _daytime_factor(hour: float) -> float:
    """Return the factor of an hour: higher during the American day than at night, 1 on average."""
    return 1 + 0.6 * math.cos((hour - 19) / 12 * math.pi)
