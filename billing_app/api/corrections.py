"""Correcting usage events, one or up to ten thousand, and listing corrections."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Response
from pydantic import BaseModel, Field, WithJsonSchema

from billing_app.api.usage import BatchOutcome, CustomerIdOrKey, IdempotencyKey, batch_rows
from billing_app.api.wire.calls import Caller
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, CustomerRef, ExactNumber, Period, Quantity, Timestamp
from billing_app.domain.actor import Permission
from billing_app.services.usage import correction_log, corrections
from billing_app.services.usage.correction_log import CorrectionFilter
from billing_app.services.usage.correction_rows import CorrectionReport, CorrectionRow
from billing_app.services.usage.recording import BATCH_MAX, UnreadableReport

router = resource("/usage/corrections", "Usage")

CorrectionKey = Annotated[
    Any,
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["2026-11-02/recount/42"]}
        | {
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]+$",
            "description": "Your own ID for the correction, unique per customer. If you send the correction"
            " again with the same key, it is recorded once.",
        }
    ),
]
Reason = Annotated[
    Any,
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 1000, "examples": ["Counted twice."]}
        | {"description": "Why the event was wrong."}
    ),
]


class NewCorrection(Body):
    """The quantity that a usage event should have had. Zero undoes the event."""

    customer: CustomerIdOrKey
    idempotency_key: IdempotencyKey = Field(description="The key of the event.")
    quantity: ExactNumber = Field(examples=["1030"])
    reason: Reason
    correction_key: CorrectionKey


class Correction(BaseModel):
    """A recorded correction. It is billed in `billing_period`, which is fixed when it is recorded."""

    customer: CustomerRef
    correction_key: str = Field(examples=["2026-11-02/recount/42"])
    idempotency_key: str = Field(examples=["2026-10-31/meter-7/42"], description="The key of the event.")
    number: int = Field(examples=[1], description="Its position among the corrections of the event.")
    meter: str = Field(examples=["usage"], description="The code of the event's meter.")
    occurred_at: Timestamp = Field(description="When the event occurred.")
    quantity_before: Quantity
    quantity: Quantity = Field(examples=["1030"])
    difference: Quantity = Field(examples=["-500"])
    reason: str
    billing_period: Period
    recorded_at: Timestamp
    recorded_by: str = Field(examples=["usr_2"])


class RecordedCorrection(BaseModel):
    """The correction. If the status is `duplicate`, it was recorded before."""

    status: Literal["recorded", "duplicate"]
    correction: Correction


_ROW_SCHEMA = NewCorrection.model_json_schema() | {"title": "NewCorrection"}


class NewCorrections(Body):
    """Corrections to record. Each is accepted or rejected on its own."""

    # The items are untyped, so that one that is not an object is rejected without affecting the others.
    corrections: Annotated[
        list[Any], WithJsonSchema({"type": "array", "maxItems": BATCH_MAX, "items": _ROW_SCHEMA})
    ]


@router.post(
    "",
    status_code=201,
    responses={
        200: {
            "model": RecordedCorrection,
            "description": "A duplicate. The correction was recorded before and is unchanged.",
        },
        **refusals(
            "customer_not_found", "event_not_found", "idempotency_conflict", "nothing_to_correct", "no_plan"
        ),
    },
)
def correct_usage(call: Caller, body: NewCorrection, response: Response) -> RecordedCorrection:
    """Correct a usage event.

    The event stays as it was recorded. While its month is open, the correction changes what the month
    charges. After that, the next invoice has a line for the difference. If you get no response, retry. The
    correction is recorded once.
    """
    report = CorrectionReport(
        body.customer, body.idempotency_key, body.quantity, body.reason, body.correction_key
    )
    status, row = call.do(corrections.correct_usage, report)
    response.status_code = 201 if status == "recorded" else 200
    correction = correction_of(row)
    if not call.actor.may(Permission.READ):
        # A token that only corrects usage must not learn who the customers are.
        correction.customer.name = ""
    return RecordedCorrection(status=status, correction=correction)


@router.post("/batch", response_model_exclude_none=True, responses=refusals("batch_too_large"))
def correct_usage_batch(call: Caller, body: NewCorrections) -> BatchOutcome:
    """Correct up to 10,000 usage events.

    Each correction is accepted or rejected on its own, and all accepted ones are committed together. Several
    corrections of one event apply in the order of the list.
    """
    outcome = call.do(corrections.correct_usage_batch, [_parse_row(row) for row in body.corrections])
    return BatchOutcome(
        recorded=outcome.recorded,
        duplicates=outcome.duplicates,
        conflicts=outcome.conflicts,
        rejected=outcome.rejected,
        results=list(batch_rows(outcome.results)),
    )


def _filter(
    customer: Annotated[str | None, Query(description="A customer's ID or key.")] = None,
    idempotency_key: Annotated[
        str | None, Query(description="The key of an event of this customer, for its history.")
    ] = None,
    period: Annotated[Period | None, Query(description="The usage month.")] = None,
    billing_period: Annotated[
        Period | None, Query(description="The period that the correction is billed in.")
    ] = None,
) -> CorrectionFilter:
    return CorrectionFilter(customer, idempotency_key, period, billing_period)


@router.get("", responses=refusals("customer_not_found"))
def list_corrections(
    call: Caller, paged: Paged, wanted: Annotated[CorrectionFilter, Depends(_filter)]
) -> Page[Correction]:
    """List corrections, newest first."""
    return page_of(call.do(correction_log.list_corrections, wanted, **paged), correction_of)


def correction_of(row: CorrectionRow) -> Correction:
    """Convert a recorded correction."""
    return Correction(
        customer=CustomerRef(id=row.customer_public_id, key=row.customer_key, name=row.customer_name),
        correction_key=row.correction_key,
        idempotency_key=row.idempotency_key,
        number=row.number,
        meter=row.meter_code,
        occurred_at=row.occurred_at,
        quantity_before=row.quantity_before,
        quantity=row.quantity,
        difference=row.difference,
        reason=row.reason,
        billing_period=row.billing_period,
        recorded_at=row.recorded_at,
        recorded_by=row.recorded_by,
    )


_FIELDS = CorrectionReport._fields


def _parse_row(row: object) -> CorrectionReport | UnreadableReport:
    """Return the report in a row of a batch. The service parses its values."""
    if not isinstance(row, dict):
        return UnreadableReport("", "not_an_object")
    for name in row:
        if name not in _FIELDS:
            # A name may contain an unpaired surrogate, which a response in UTF-8 can't.
            return UnreadableReport(name.encode(errors="replace").decode(), "unknown_field")
    for name in _FIELDS:
        if name not in row:
            return UnreadableReport(name, "missing")
    return CorrectionReport(**row)
