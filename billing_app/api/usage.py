"""Recording usage events, one or up to ten thousand, and listing and exporting them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Query, Response
from pydantic import BaseModel, Field, WithJsonSchema
from starlette.types import ASGIApp

from billing_app.api.usage_batches import BatchRoute
from billing_app.api.wire.calls import Caller
from billing_app.api.wire.csv_files import DESCRIBED, CsvFile, csv_file
from billing_app.api.wire.encoded_answer import EncodedAnswer
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import (
    Body,
    CustomerRef,
    ExactNumber,
    Period,
    Quantity,
    Timestamp,
    timestamp_text,
)
from billing_app.documents.csv_rows import Cell
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import plain
from billing_app.domain.periods import label
from billing_app.runtime import current
from billing_app.services.usage import export as usage_export
from billing_app.services.usage import log as usage_log
from billing_app.services.usage import recording
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.recording import BATCH_MAX, RowResult, UnreadableReport, UsageReport
from billing_app.services.usage.rows import UsageEventRow
from billing_app.wording.refusals import reason_sentence

router = resource("/usage", "Usage")

# The values of an event reach the service unparsed, so that it can reject them with the rule that they break.
IdempotencyKey = Annotated[
    Any,
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["2026-10-31/meter-7/42"]}
        | {
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]+$",
            "description": "Your own ID for the event, unique per customer. If you send the event again"
            " with the same key, it is counted once. Control characters, such as tabs and line breaks, are"
            " not allowed.",
        }
    ),
]
CustomerIdOrKey = Annotated[
    Any, WithJsonSchema({"type": "string", "examples": ["acme"], "description": "The customer's ID or key."})
]
OccurredAt = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
            "examples": ["2026-10-31T23:00:00Z"],
            "description": "When the usage occurred: an RFC 3339 timestamp with an offset, at most 5"
            " minutes in the future. Defaults to now.",
        }
    ),
]


MeterCode = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": "^[a-z0-9_]{1,63}$"}, {"type": "null"}],
            "description": "The code of a meter. Defaults to the default meter, `usage`.",
        }
    ),
]
Item = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "minLength": 1, "maxLength": 255}, {"type": "null"}],
            "description": "What a meter counts that counts different items, such as the ID of a user."
            " Required for such a meter, and refused for any other.",
        }
    ),
]


class NewUsage(Body):
    """A usage event to record."""

    customer: CustomerIdOrKey
    quantity: ExactNumber | None = Field(
        None,
        examples=["1530.5"],
        description="A decimal number, zero or more, as a string or a number. Required, except for a meter"
        " that counts different items, where it is 1.",
    )
    occurred_at: OccurredAt = None
    idempotency_key: IdempotencyKey
    meter: MeterCode = None
    item: Item = None


class UsageEvent(BaseModel):
    """A recorded usage event. Its billing period is fixed when it is recorded."""

    customer: CustomerRef
    idempotency_key: str = Field(examples=["2026-10-31/meter-7/42"])
    quantity: Quantity
    occurred_at: Timestamp
    recorded_at: Timestamp
    billing_period: Period
    recorded_by: str = Field(examples=["tok_1"], description="The ID of the API token or user, or `system`.")
    meter: str = Field(examples=["usage"], description="The code of the meter.")
    item: str | None = Field(examples=[None])
    current_quantity: Quantity = Field(description="What the event counts after its corrections.")
    correction_count: int = Field(examples=[0])


class RecordedEvent(BaseModel):
    """The recorded event. If the status is `duplicate`, `event` is the one that was recorded before."""

    status: Literal["recorded", "duplicate"]
    event: UsageEvent


_ROW_SCHEMA = NewUsage.model_json_schema() | {"title": "NewUsage"}


class NewBatch(Body):
    """Usage events to record. Each is accepted or rejected on its own."""

    # The items are untyped, so that one that is not an object is rejected without affecting the others.
    events: Annotated[
        list[Any], WithJsonSchema({"type": "array", "maxItems": BATCH_MAX, "items": _ROW_SCHEMA})
    ]


class BatchRow(BaseModel):
    """An event that was not recorded. For a conflict or a rejected event, the other fields say why."""

    index: int = Field(examples=[3], description="Its position in `events`, starting at 0.")
    status: Literal["duplicate", "conflict", "rejected"]
    code: str | None = Field(None, examples=["customer_not_found"])
    detail: str | None = Field(None, examples=["customer does not exist."])
    field: str | None = Field(None, examples=["customer"])


class BatchOutcome(BaseModel):
    """How many events were recorded, and which were not. `results` leaves out the recorded ones."""

    recorded: int
    duplicates: int
    conflicts: int
    rejected: int
    results: list[BatchRow]


@router.post(
    "",
    status_code=201,
    responses={
        200: {
            "model": RecordedEvent,
            "description": "A duplicate. The event was recorded before and is unchanged.",
        },
        **refusals(
            "customer_not_found", "meter_not_found", "idempotency_conflict", "customer_suspended",
            "occurred_in_future", "no_plan",
        ),
    },
)  # fmt: skip
async def record_usage(call: Caller, body: NewUsage, response: Response) -> RecordedEvent:
    """Record a usage event.

    The response is sent once the event is on disk. If you get no response, retry. The event is counted
    once.
    """
    report = UsageReport(
        body.customer, body.idempotency_key, body.quantity, body.occurred_at, body.meter, body.item
    )
    answer = await current().recorder.record(call.actor, report)
    if answer.status == "duplicate":
        response.status_code = 200
    event = usage_event(answer.event)
    if not call.actor.may(Permission.READ):
        # A token that only records usage must not learn who the customers are.
        event.customer.name = ""
    return RecordedEvent(status=answer.status, event=event)


async def record_single(actor: Actor, body: dict[str, Any]) -> ASGIApp | None:
    """Record a usage event as `record_usage` does, or return None if the body is not a `NewUsage`.

    The answer has the same bytes.
    """
    report = _parse_row(body)
    if isinstance(report, UnreadableReport):
        return None
    status, event = await current().recorder.record(actor, report)
    content = {
        "status": status,
        "event": {
            "customer": {
                "id": event.customer_public_id,
                "key": event.customer_key,
                "name": event.customer_name if actor.may(Permission.READ) else "",
            },
            "idempotency_key": event.idempotency_key,
            "quantity": plain(event.quantity),
            "occurred_at": timestamp_text(event.occurred_at),
            "recorded_at": timestamp_text(event.recorded_at),
            "billing_period": label(event.billing_period),
            "recorded_by": event.recorded_by,
            "meter": event.meter,
            "item": event.item,
            "current_quantity": plain(event.current_quantity),
            "correction_count": event.correction_count,
        },
    }
    return EncodedAnswer(200 if status == "duplicate" else 201, msgspec.json.encode(content))


def record_batch(call: Caller, body: NewBatch) -> BatchOutcome:
    """Record up to 10,000 usage events.

    Each event is accepted or rejected on its own, and all accepted events are committed together. If
    several events have the same customer and key, the first one is recorded. A batch with more than
    10,000 events is rejected as a whole.
    """
    outcome = call.do(recording.record_usage_batch, [_parse_row(row) for row in body.events])
    return BatchOutcome(
        recorded=outcome.recorded,
        duplicates=outcome.duplicates,
        conflicts=outcome.conflicts,
        rejected=outcome.rejected,
        results=list(batch_rows(outcome.results)),
    )


router.add_api_route(
    "/batch",
    record_batch,
    methods=["POST"],
    route_class_override=BatchRoute,
    response_model_exclude_none=True,
    responses=refusals("batch_too_large"),
)


def _usage_filter(
    customer: Annotated[str | None, Query(description="A customer's ID or key.")] = None,
    period: Annotated[Period | None, Query(description="The usage month.")] = None,
    billing_period: Annotated[
        Period | None, Query(description="The period that the event is billed in.")
    ] = None,
    late: Annotated[
        bool, Query(description="Only events billed in a later period than their usage month.")
    ] = False,
    meter: Annotated[str | None, Query(description="The code of a meter.")] = None,
    idempotency_key: Annotated[
        str | None, Query(description="The event's key, of one customer or of all.")
    ] = None,
    unpriced: Annotated[
        bool,
        Query(
            description="Only events that cost nothing because the plan of their day has no charge for their meter."
        ),
    ] = False,
) -> UsageFilter:
    return UsageFilter(
        customer,
        period,
        billing_period,
        late_only=late,
        meter=meter,
        idempotency_key=idempotency_key,
        unpriced_only=unpriced,
    )


Filtered = Annotated[UsageFilter, Depends(_usage_filter)]


@router.get("", responses=refusals("customer_not_found", "meter_not_found"))
def list_usage(call: Caller, paged: Paged, wanted: Filtered) -> Page[UsageEvent]:
    """List usage events, newest first."""
    return page_of(call.do(usage_log.list_usage, wanted, **paged), usage_event)


@router.get(
    ".csv",
    response_class=CsvFile,
    responses=DESCRIBED | refusals("customer_not_found", "meter_not_found"),
)
def export_usage(call: Caller, wanted: Filtered) -> CsvFile:
    """Export usage events as CSV.

    The rows are ordered by billing period, customer and time. The file is UTF-8 with a byte order
    mark. A key that starts with `=`, `+`, `-`, `@` or an apostrophe is preceded by an apostrophe, so
    that no spreadsheet runs it as a formula. The import removes that apostrophe, so importing the
    file records nothing new.
    """
    name = "usage"
    name += f"-{wanted.customer}" if wanted.customer else ""
    name += f"-{label(wanted.period)}" if wanted.period else ""
    name += f"-billed-{label(wanted.billing_period)}" if wanted.billing_period else ""
    name += "-late" if wanted.late_only else ""
    name += "-unpriced" if wanted.unpriced_only else ""
    name += f"-{wanted.meter}" if wanted.meter else ""
    return csv_file(call, f"{name}.csv", _CSV_COLUMNS, _csv_cells, usage_export.read_usage, wanted)


def usage_event(row: UsageEventRow) -> UsageEvent:
    """Convert a recorded event."""
    return UsageEvent(
        customer=CustomerRef(id=row.customer_public_id, key=row.customer_key, name=row.customer_name),
        idempotency_key=row.idempotency_key,
        quantity=row.quantity,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
        billing_period=row.billing_period,
        recorded_by=row.recorded_by,
        meter=row.meter,
        item=row.item,
        current_quantity=row.current_quantity,
        correction_count=row.correction_count,
    )


_CSV_COLUMNS = (
    "customer", "idempotency_key", "quantity", "occurred_at", "meter", "item",
    "recorded_at", "billing_period", "recorded_by",
)  # fmt: skip


def _csv_cells(row: UsageEventRow) -> tuple[Cell, ...]:
    return (
        row.customer_key,
        row.idempotency_key,
        plain(row.quantity),
        row.occurred_at,
        row.meter,
        row.item,
        row.recorded_at,
        label(row.billing_period),
        row.recorded_by,
    )


def batch_rows(results: Iterable[RowResult]) -> Iterable[BatchRow]:
    """Convert the results of the rows that were not recorded."""
    for result in results:
        if result.status == "recorded":
            continue
        row = BatchRow(index=result.index, status=result.status)
        if result.reason is not None:
            row.code, row.field = result.reason.code, result.reason.field or None
            row.detail = reason_sentence(result.reason)
        yield row


# A type of events is named only by CloudEvents.
_FIELDS = set(UsageReport._fields) - {"event_type"}
_REQUIRED = [field for field in UsageReport._fields if field not in UsageReport._field_defaults]


def _parse_row(row: object) -> UsageReport | UnreadableReport:
    """Return the report in a row of a batch. The service parses its values."""
    if type(row) is UsageReport:
        return row
    if not isinstance(row, dict):
        return UnreadableReport("", "not_an_object")
    if not row.keys() <= _FIELDS:
        name = next(name for name in row if name not in _FIELDS)
        # A name may contain an unpaired surrogate, which a response in UTF-8 can't.
        return UnreadableReport(name.encode(errors="replace").decode(), "unknown_field")
    if any(field not in row for field in _REQUIRED):
        return UnreadableReport(next(field for field in _REQUIRED if field not in row), "missing")
    return UsageReport(**row)
