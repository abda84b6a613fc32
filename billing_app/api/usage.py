"""Usage in, one event or ten thousand, and out again as a log."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Response
from pydantic import BaseModel, Field, WithJsonSchema

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.csv_files import DESCRIBED, Cell, CsvFile, csv_file
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, ExactNumber, Period, Quantity, Timestamp
from billing_app.domain.money import plain
from billing_app.domain.periods import label
from billing_app.runtime import current
from billing_app.services.usage import export as usage_export
from billing_app.services.usage import log as usage_log
from billing_app.services.usage import recording
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.recording import BATCH_MAX, RowResult, Unreadable, UsageEventRow, UsageReport
from billing_app.wording.refusals import reason_sentence

router = resource("/usage", "Usage")

# As it came: the service reads it, and refuses it with the field's own rule.
Key = Annotated[
    Any,
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["2026-10-31/meter-7/42"]}
        | {"description": "The sender's own name of the event: sent again with it, it counts once."}
    ),
]
CustomerName = Annotated[
    Any, WithJsonSchema({"type": "string", "examples": ["acme"], "description": "The customer's id or key."})
]
OccurredAt = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
            "examples": ["2026-10-31T23:00:00Z"],
            "description": "RFC 3339 with an offset, at most 5 minutes ahead; without one: now.",
        }
    ),
]


class NewUsage(Body):
    """What a customer used at a moment."""

    customer: CustomerName
    quantity: ExactNumber = Field(examples=["1530.5"])
    occurred_at: OccurredAt = None
    idempotency_key: Key


class UsageEvent(BaseModel):
    """A recorded event. `billing_period` is the month in which it is billed, fixed from the beginning."""

    customer: str = Field(examples=["acme"], description="The customer's key.")
    idempotency_key: str = Field(examples=["2026-10-31/meter-7/42"])
    quantity: Quantity
    occurred_at: Timestamp
    recorded_at: Timestamp
    billing_period: Period
    recorded_by: str = Field(examples=["tok_1"])


class RecordedEvent(BaseModel):
    """`duplicate`: it was there before, just so, and `event` is the first."""

    status: Literal["recorded", "duplicate"]
    event: UsageEvent


_ROW_SCHEMA = NewUsage.model_json_schema() | {"title": "NewUsage"}


class NewBatch(Body):
    """Events, each recorded or refused for itself."""

    # Any, since a row that is no object must not spoil the others.
    events: Annotated[
        list[Any], WithJsonSchema({"type": "array", "maxItems": BATCH_MAX, "items": _ROW_SCHEMA})
    ]


class BatchRow(BaseModel):
    """A row that was not plainly recorded; `code`, `detail` and `field` say why."""

    index: int = Field(examples=[3], description="Its place in `events`, from 0.")
    status: Literal["duplicate", "conflict", "rejected"]
    code: str | None = Field(None, examples=["customer_not_found"])
    detail: str | None = Field(None, examples=["customer: there is no such customer"])
    field: str | None = Field(None, examples=["customer"])


class BatchOutcome(BaseModel):
    """The counts, and whatever was not plainly recorded."""

    recorded: int
    duplicates: int
    conflicts: int
    rejected: int
    results: list[BatchRow]


@router.post(
    "",
    status_code=201,
    responses={
        200: {"model": RecordedEvent, "description": "A duplicate: the first one stands."},
        **refusals(
            "customer_not_found", "idempotency_conflict", "customer_suspended",
            "occurred_in_future", "no_plan",
        ),
    },
)  # fmt: skip
async def record_usage(call: Caller, body: NewUsage, response: Response) -> RecordedEvent:
    """Record an event.

    Answered when it is on disk: 201, or 200 when the same event was recorded before. Without an
    answer, send it again: it counts once.
    """
    report = UsageReport(body.customer, body.idempotency_key, body.quantity, body.occurred_at)
    done = await asyncio.wrap_future(current().recorder.submit(call.actor, report))
    if done.status == "duplicate":
        response.status_code = 200
    return RecordedEvent(status=done.status, event=event_of(done.event))


@router.post("/batch", response_model_exclude_none=True, responses=refusals("batch_too_large"))
def record_batch(call: Caller, body: NewBatch) -> BatchOutcome:
    """Record up to 10,000 events.

    Each row is recorded or refused for itself, all in one commit; of the rows with the same key the
    first stands. Too many rows, and none is recorded.
    """
    done = call.do(recording.record_usage_batch, [_report_of(row) for row in body.events])
    return BatchOutcome(
        recorded=done.recorded,
        duplicates=done.duplicates,
        conflicts=done.conflicts,
        rejected=done.rejected,
        results=[_row_of(row) for row in done.results if row.status != "recorded"],
    )


def _usage_filter(
    customer: Annotated[str | None, Query(description="A customer's ID or key.")] = None,
    period: Annotated[Period | None, Query(description="The usage month.")] = None,
    billing_period: Annotated[Period | None, Query(description="The period that bills the event.")] = None,
    late: Annotated[
        bool, Query(description="Only events billed in a later period than their usage month.")
    ] = False,
) -> UsageFilter:
    return UsageFilter(customer, period, billing_period, late_only=late)


Filtered = Annotated[UsageFilter, Depends(_usage_filter)]


@router.get("", responses=refusals("customer_not_found"))
def list_usage(call: Caller, paged: Paged, wanted: Filtered) -> Page[UsageEvent]:
    """List usage events, newest first."""
    return page_of(call.do(usage_log.list_usage, wanted, **paged), event_of)


@router.get(".csv", response_class=CsvFile, responses=DESCRIBED | refusals("customer_not_found"))
def export_usage(call: Caller, wanted: Filtered) -> CsvFile:
    """Export events as CSV.

    Ordered by billing period, customer and moment. A key that a spreadsheet would run as a formula
    (it begins with `=`, `+`, `-`, `@`, a tab or a carriage return) has an apostrophe before it.
    """
    name = "usage"
    name += f"-{wanted.customer}" if wanted.customer else ""
    name += f"-{label(wanted.period)}" if wanted.period else ""
    name += f"-billed-{label(wanted.billing_period)}" if wanted.billing_period else ""
    name += "-late" if wanted.late_only else ""
    return csv_file(
        call,
        f"{name}.csv",
        UsageEventRow._fields,
        _cells,
        usage_export.read_usage,
        wanted,
    )


def _row_of(row: RowResult) -> BatchRow:
    if row.reason is None:
        return BatchRow(index=row.index, status=row.status)
    return BatchRow(
        index=row.index,
        status=row.status,
        code=row.reason.code,
        detail=reason_sentence(row.reason),
        field=row.reason.field or None,
    )


def event_of(row: UsageEventRow) -> UsageEvent:
    """The event as it goes out."""
    return UsageEvent(
        customer=row.customer,
        idempotency_key=row.idempotency_key,
        quantity=row.quantity,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
        billing_period=row.billing_period,
        recorded_by=row.recorded_by,
    )


def _cells(row: UsageEventRow) -> tuple[Cell, ...]:
    return (
        *row[:2],
        plain(row.quantity),
        row.occurred_at,
        row.recorded_at,
        label(row.billing_period),
        row[-1],
    )


_FIELDS = set(UsageReport._fields)
_REQUIRED = [field for field in UsageReport._fields if field not in UsageReport._field_defaults]


def _report_of(row: Any) -> UsageReport | Unreadable:
    """A row of a batch, whose values the service reads."""
    if not isinstance(row, dict):
        return Unreadable("", "not_an_object")
    if not row.keys() <= _FIELDS:
        name = next(name for name in row if name not in _FIELDS)
        # A name may hold half a surrogate pair, which no answer in UTF-8 can.
        return Unreadable(name.encode(errors="replace").decode(), "unknown_field")
    if any(field not in row for field in _REQUIRED):
        return Unreadable(next(field for field in _REQUIRED if field not in row), "missing")
    return UsageReport(**row)
