"""Price simulations as pages show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from billing_app.domain.money import to_major
from billing_app.services.audit.names import Named
from billing_app.services.shared.ids import public_id
from billing_app.services.simulations.rows import SimulatedRow, SimulationRow
from billing_app.state.kit import address, text
from billing_app.state.kit.charts import point
from billing_app.state.presenters.audit_entries import describe_actor_id
from billing_app.wording.prices import describe_plan
from billing_app.wording.refusals import reason_sentence
from billing_app.wording.values import MINUS


@dataclass(frozen=True)
class SimulationItem:
    """A simulation: what was asked, its progress, and its totals. `direction` is `up`, `down` or empty."""

    simulation: str = ""
    status: str = ""
    month: str = ""
    customers: str = ""
    prices: str = ""
    terms: str = ""
    by: str = ""
    started: str = ""
    started_utc: str = ""
    processed: int = 0
    total: int = 1
    caption: str = ""
    before: str = ""
    after: str = ""
    difference: str = ""
    change: str = ""
    direction: str = ""
    simulated: str = ""
    left_out: str = ""
    is_unsaved: bool = False
    csv_href: str = ""
    symbol: str = ""
    fault: str = ""


@dataclass(frozen=True)
class SimulatedItem:
    """What one customer pays, and what they would have paid."""

    customer: str = ""
    key: str = ""
    href: str = ""
    before: str = ""
    after: str = ""
    difference: str = ""
    change: str = ""
    direction: str = ""


def simulation_item(row: SimulationRow, names: Mapping[str, Named], zone: ZoneInfo) -> SimulationItem:
    """Build what the page shows of a simulation."""
    request, currency = row.request, row.request.plan.currency
    plan = request.plan
    # Customers created after the start are simulated too.
    total = max(row.total, row.processed)
    return SimulationItem(
        simulation=row.public_id,
        status=row.status,
        month=text.month(request.period_start),
        customers=_customers(row, names),
        prices=text.plan(plan.name, plan.version) if request.is_saved else "Terms not saved as a plan",
        terms=describe_plan(plan),
        by=describe_actor_id(row.started_by, row.started_by, names).name,
        started=text.timestamp(row.started_at, zone),
        started_utc=text.timestamp_utc(row.started_at),
        processed=row.processed,
        total=max(total, 1),
        caption=f"{row.processed:,} of {text.counted(total, 'customer')}",
        before=text.money(row.before_minor, currency),
        after=text.money(row.after_minor, currency),
        difference=signed(row.difference_minor, currency),
        change=change(row.before_minor, row.after_minor),
        direction=_direction(row.difference_minor),
        simulated=f"{row.simulated:,}",
        left_out=_left_out(row),
        is_unsaved=not request.is_saved,
        csv_href=f"/api/v1/simulations/{row.public_id}.csv" if row.status == "done" else "",
        symbol=text.currency_symbol(currency),
        fault=reason_sentence(row.fault) if row.fault else "",
    )


def ids_of(row: SimulationRow) -> list[str]:
    """Return the IDs whose names the page shows."""
    selection = row.request.selection
    ids = [row.started_by]
    if selection.customer_id is not None:
        ids.append(public_id("cus", selection.customer_id))
    if selection.plan_id is not None:
        ids.append(public_id("plan", selection.plan_id))
    return ids


def _customers(row: SimulationRow, names: Mapping[str, Named]) -> str:
    selection = row.request.selection
    if selection.currency is not None:
        return f"all customers billed in {selection.currency}"
    if selection.plan_id is not None:
        plan = public_id("plan", selection.plan_id)
        return f"customers on {names[plan].name if plan in names else plan}"
    customer = public_id("cus", selection.customer_id or 0)
    return names[customer].name if customer in names else customer


def _left_out(row: SimulationRow) -> str:
    """Say who is not simulated: `1 without a plan in the month left out`."""
    parts = []
    if row.other_currency:
        parts.append(f"{row.other_currency:,} billed in another currency")
    if row.no_plan:
        parts.append(f"{row.no_plan:,} without a plan in this month")
    return f"Left out: {', '.join(parts)}" if parts else ""


def simulated_item(row: SimulatedRow, currency: str) -> SimulatedItem:
    """Build the row of a customer."""
    return SimulatedItem(
        customer=row.customer_name,
        key=row.customer_key,
        href=address.link(f"/customers/{row.customer_key}"),
        before=text.money(row.before_minor, currency),
        after=text.money(row.after_minor, currency),
        difference=signed(row.difference_minor, currency),
        change=change(row.before_minor, row.after_minor),
        direction=_direction(row.difference_minor),
    )


def difference_points(rows: Iterable[SimulatedRow], currency: str) -> list[dict[str, Any]]:
    """Build a bar for each customer, as an increase or a decrease."""
    points = []
    for row in rows:
        value, words = to_major(row.difference_minor, currency), signed(row.difference_minor, currency)
        up, down = max(value, Decimal(0)), min(value, Decimal(0))
        points.append(
            point(
                row.customer_key,
                up=(up, words if value >= 0 else ""),
                down=(down, words if value < 0 else ""),
                difference=(value, words),
            )
        )
    return points


def signed(amount_minor: int, currency: str) -> str:
    """Write a difference with its sign: `+$6.37`."""
    return f"{'+' if amount_minor > 0 else ''}{text.money(amount_minor, currency)}"


def change(before_minor: int, after_minor: int) -> str:
    """Write a difference in percent, `+12.5%`; empty if nothing was paid before."""
    if before_minor <= 0:
        return ""
    per_mille = round(Decimal(1000 * (after_minor - before_minor)) / before_minor)
    sign = "+" if per_mille > 0 else MINUS if per_mille < 0 else ""
    return f"{sign}{abs(per_mille) // 10:,}.{abs(per_mille) % 10}%"


def _direction(difference_minor: int) -> str:
    return "up" if difference_minor > 0 else "down" if difference_minor < 0 else ""
