"""Rows of plans."""

from __future__ import annotations

from dataclasses import dataclass, field

from billing_app.state.kit.charts import Curve


@dataclass(frozen=True)
class VersionItem:
    """One version of a plan, as it is listed under its newest one."""

    plan_id: int = 0
    title: str = ""
    terms: str = ""
    customers: str = ""
    is_archived: bool = False


@dataclass(frozen=True)
class PlanItem:
    """A plan by its newest version. `curve` has the monthly cost against units, for the chart."""

    plan_id: int = 0
    name: str = ""
    version: str = ""
    price: str = ""
    included: str = ""
    overage: str = ""
    customers: str = ""
    customers_href: str = ""
    is_archived: bool = False
    symbol: str = ""
    curve: Curve = field(default_factory=Curve)
    earlier: list[VersionItem] = field(default_factory=list)
    earlier_count: str = ""
