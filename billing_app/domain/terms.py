"""What a plan charges: a monthly price, and a price for the usage of each of its meters."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

CHARGES_MAX = 20
TIERS_MAX = 20
DEFAULT_METER_ID = 1
DEFAULT_METER_CODE = "usage"

Aggregation = Literal["sum", "max", "unique"]
Model = Literal["per_unit", "package", "graduated", "volume"]


class Meter(NamedTuple):
    """Something that is metered. `aggregation` makes one quantity out of a month's events.

    `sum` adds their quantities, `max` takes the largest, and `unique` counts their different items.
    """

    meter_id: int
    code: str
    name: str
    unit: str
    aggregation: Aggregation

    @property
    def adds_up(self) -> bool:
        """Whether the quantity of a month is the sum of the quantities of its days."""
        return self.aggregation == "sum"


class Tier(NamedTuple):
    """The price of the units up to and including `up_to`, which is None for the last tier.

    `unit_price` is in major units per unit. `flat_price_minor` is charged once when the tier has units.
    """

    up_to: Decimal | None
    unit_price: Decimal
    flat_price_minor: int


class Charge(NamedTuple):
    """The price of one meter's usage. Which of the terms are given depends on the model.

    `per_unit` has `included_units` and `unit_price`, in major units per unit; `package` has
    `included_units`, `package_size` and `package_price_minor`; `graduated` and `volume` have `tiers`.
    """

    meter: Meter
    model: Model
    included_units: Decimal | None = None
    unit_price: Decimal | None = None
    package_size: Decimal | None = None
    package_price_minor: int | None = None
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The terms of one version of a plan. The charges are in the order in which an invoice shows them."""

    plan_id: int
    name: str
    version: int
    currency: str
    monthly_price_minor: int
    charges: tuple[Charge, ...]
