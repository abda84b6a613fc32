"""Usage events as pages show them: in a list, and one with its history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from billing_app.domain.periods import period_of
from billing_app.services.audit.names import Named
from billing_app.services.usage.billing import InvoiceNumbers
from billing_app.services.usage.correction_rows import CorrectionRow
from billing_app.services.usage.rows import UsageEventRow
from billing_app.state.kit import address, text
from billing_app.state.presenters.audit_entries import describe_actor_id, describe_subject

_ONCE = 1


@dataclass(frozen=True)
class UsageItem:
    """A usage event and where it is billed. `invoice` is empty until the invoice exists.

    `quantity` is the current one. `meter` is empty if there is only one. `corrected` says how often it was
    corrected, and is empty if never.
    """

    occurred: str = ""
    occurred_utc: str = ""
    customer: str = ""
    customer_key: str = ""
    customer_href: str = ""
    key: str = ""
    quantity: str = ""
    meter: str = ""
    item: str = ""
    corrected: str = ""
    billed_in: str = ""
    invoice: str = ""
    invoice_href: str = ""
    is_late: bool = False
    late_reason: str = ""
    is_unpriced: bool = False
    details: str = ""


def usage_item(
    event: UsageEventRow,
    zone: ZoneInfo,
    invoice_numbers: InvoiceNumbers,
    unpriced: set[tuple[int, str]],
    meters: Mapping[str, str],
) -> UsageItem:
    """Present an event of a list, with times in the viewer's zone.

    `unpriced` has the events without a price, and `meters` the names by code if there are several.
    """
    invoice = invoice_numbers.get((event.customer_id, event.billing_period), "")
    used_in = period_of(event.occurred_at)
    return UsageItem(
        occurred=text.timestamp(event.occurred_at, zone),
        occurred_utc=text.timestamp_utc(event.occurred_at),
        customer=event.customer_name,
        customer_key=event.customer_key,
        customer_href=address.link(f"/customers/{event.customer_key}"),
        key=event.idempotency_key,
        quantity=text.quantity(event.current_quantity),
        meter=meters.get(event.meter, ""),
        item=event.item or "",
        corrected=describe_corrections(event),
        billed_in=text.month(event.billing_period),
        invoice=invoice,
        invoice_href=address.link(f"/invoices/{invoice}") if invoice else "",
        is_late=used_in < event.billing_period,
        late_reason=f"{text.month(used_in)} was already closed when this was recorded",
        is_unpriced=(event.customer_id, event.idempotency_key) in unpriced,
        details=f"{event.idempotency_key}\nRecorded {text.timestamp(event.recorded_at, zone)}"
        f" ({text.timestamp_utc(event.recorded_at)}) by {event.recorded_by}",
    )


def describe_corrections(event: UsageEventRow) -> str:
    """Say how often an event was corrected, and from which quantity. Empty if it never was."""
    if not event.correction_count:
        return ""
    times = "once" if event.correction_count == _ONCE else f"{event.correction_count:,} times"
    return f"Corrected {times} from {text.quantity(event.quantity)}"


def _meter(event: UsageEventRow) -> str:
    """Name the meter and the item of an event, unless it is on the default meter."""
    if event.is_on_default_meter:
        return ""
    return event.meter + (f", item {event.item}" if event.item else "")


@dataclass(frozen=True)
class HistoryItem:
    """A quantity of an event, and where it, or the difference to the one before, is billed.

    `difference` and `reason` are empty for the quantity that was first recorded.
    """

    quantity: str = ""
    difference: str = ""
    reason: str = ""
    who: str = ""
    at: str = ""
    at_utc: str = ""
    billed_in: str = ""
    invoice: str = ""
    invoice_href: str = ""


@dataclass(frozen=True)
class EventHistory:
    """A usage event with its quantities, the newest first. `left_out` counts those that are not shown."""

    customer: str = ""
    customer_href: str = ""
    key: str = ""
    meter: str = ""
    occurred: str = ""
    occurred_utc: str = ""
    quantities: list[HistoryItem] = field(default_factory=list)
    left_out: str = ""


def event_history(
    event: UsageEventRow,
    corrections: Iterable[CorrectionRow],
    invoice_numbers: InvoiceNumbers,
    names: Mapping[str, Named],
    zone: ZoneInfo,
) -> EventHistory:
    """Present an event with its newest corrections, which are ordered from the newest."""
    rows = list(corrections)
    left_out = event.correction_count - len(rows)
    return EventHistory(
        customer=event.customer_name,
        customer_href=address.link(f"/customers/{event.customer_key}"),
        key=event.idempotency_key,
        meter=_meter(event),
        occurred=text.timestamp(event.occurred_at, zone),
        occurred_utc=text.timestamp_utc(event.occurred_at),
        quantities=[
            *(
                replace(
                    _history_item(row, invoice_numbers, names, zone),
                    difference=signed(row),
                    reason=row.reason,
                )
                for row in rows
            ),
            _history_item(event, invoice_numbers, names, zone),
        ],
        left_out=f"{text.counted(left_out, 'earlier correction')} not shown" if left_out > 0 else "",
    )


def _history_item(
    row: CorrectionRow | UsageEventRow,
    invoice_numbers: InvoiceNumbers,
    names: Mapping[str, Named],
    zone: ZoneInfo,
) -> HistoryItem:
    invoice = invoice_numbers.get((row.customer_id, row.billing_period), "")
    return HistoryItem(
        quantity=text.quantity(row.quantity),
        who=_actor_name(row.recorded_by, names),
        at=text.timestamp(row.recorded_at, zone),
        at_utc=text.timestamp_utc(row.recorded_at),
        billed_in=text.month(row.billing_period),
        invoice=invoice,
        invoice_href=address.link(f"/invoices/{invoice}") if invoice else "",
    )


def signed(correction: CorrectionRow) -> str:
    """Write the difference of a correction with its sign."""
    sign = "+" if correction.difference > 0 else ""
    return f"{sign}{text.quantity(correction.difference)}"


def _actor_name(actor_id: str, names: Mapping[str, Named]) -> str:
    """Name who recorded something. An import is named like the subject of an audit entry: `Import 7`."""
    if actor_id.startswith("imp_"):
        return describe_subject(actor_id, names)
    return describe_actor_id(actor_id, actor_id, names).name
