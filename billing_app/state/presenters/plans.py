"""Plans as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass, field

from billing_app.state.kit.charts import Curve


@dataclass(frozen=True)
class VersionItem:
    """An earlier version of a plan."""

    plan_id: int = 0
    title: str = ""
    terms: str = ""
    customers: str = ""
    is_archived: bool = False


@dataclass(frozen=True)
class ChargeItem:
    """A charge in words."""

    meter: str = ""
    terms: str = ""


@dataclass(frozen=True)
class PlanItem:
    """A plan with the terms of its newest version. `curve` is its monthly cost by `units` of the first charge.

    If `is_simple`, `included` and `overage` are all of its charges. `unit` is the singular of `units`.
    """

    plan_id: int = 0
    name: str = ""
    version: str = ""
    price: str = ""
    is_simple: bool = True
    included: str = ""
    overage: str = ""
    unit: str = ""
    units: str = ""
    charges: list[ChargeItem] = field(default_factory=list)
    customers: str = ""
    customers_href: str = ""
    is_archived: bool = False
    symbol: str = ""
    curve: Curve = field(default_factory=Curve)
    earlier: list[VersionItem] = field(default_factory=list)
    earlier_count: str = ""
