"""Endpoints of meters."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Timestamp, Version
from billing_app.domain.actor import Permission
from billing_app.domain.terms import Aggregation
from billing_app.services.plans import meters
from billing_app.services.plans.meters import MeterRow

router = resource("/meters", "Meters")

_TYPE = "CloudEvents of this `type` are recorded on the meter."


class Meter(BaseModel):
    """Something that is metered.

    `aggregation` makes one quantity of a month's events: `sum` adds their quantities, `max` takes the
    largest, and `unique` counts their different items.
    """

    code: str = Field(examples=["api_calls"])
    name: str = Field(examples=["API calls"])
    unit: str = Field(examples=["call"])
    aggregation: Aggregation
    event_type: str = Field(examples=["api_calls"], description=_TYPE)
    takes_other_types: bool = Field(
        description="Whether it also takes CloudEvents of a type that no meter names. Only the default"
        " meter, `usage`, can."
    )
    archived: bool
    created_at: Timestamp
    version: int = Field(examples=[1])


class NewMeter(Body):
    """The meter to create. Its code, aggregation and event type can't be changed later."""

    code: str = Field(
        examples=["api_calls"],
        pattern="^[a-z0-9_]{1,63}$",
        description="1 to 63 lower-case letters, digits and underscores.",
    )
    name: str = Field(examples=["API calls"])
    unit: str = Field(examples=["call"], description="What one unit is called on invoices.")
    aggregation: Aggregation
    event_type: str | None = Field(
        None, examples=["com.example.api-call"], description=f"{_TYPE} Defaults to the code."
    )


class MeterChange(Body):
    """The fields to change. Omitted fields keep their values."""

    name: str | None = Field(None, examples=["API requests"])
    unit: str | None = None
    takes_other_types: bool | None = Field(
        None,
        description="Only an admin can change it, and only the default meter can have it.",
    )
    version: Version | None = None


@router.get("")
def list_meters(
    call: Caller,
    paged: Paged,
    archived: Annotated[
        bool | None, Query(description="True for archived meters only, false for the others.")
    ] = None,
) -> Page[Meter]:
    """List meters, oldest first. The first is the default meter, `usage`."""
    return page_of(call.do(meters.list_meters, archived=archived, **paged), meter_of)


@router.post(
    "",
    status_code=201,
    responses=refusals("meter_code_taken", "event_type_taken", "too_many_meters", "idempotency_conflict"),
)
def create_meter(once: OnceOnly, body: NewMeter) -> Meter:
    """Create a meter. Plans can then charge for it, and events can name it."""

    def describe(created: MeterRow) -> Created[Meter]:
        return Created(meter_of(created), f"/api/v1/meters/{created.code}")

    return once.create(
        Permission.WRITE_CUSTOMERS,
        Meter,
        describe,
        meters.create_meter,
        code=body.code,
        name=body.name,
        unit=body.unit,
        aggregation=body.aggregation,
        event_type=body.event_type,
    )


@router.get("/{meter}", responses=refusals("meter_not_found"))
def get_meter(call: Caller, meter: str) -> Meter:
    """Get a meter."""
    return meter_of(call.do(meters.get_meter, meter))


@router.patch("/{meter}", responses=refusals("meter_not_found", "stale"))
def update_meter(call: Caller, meter: str, body: MeterChange) -> Meter:
    """Update a meter. Invoices keep the name and unit that they were created with."""
    updated = call.do(
        meters.update_meter,
        meter,
        name=body.name,
        unit=body.unit,
        takes_other_types=body.takes_other_types,
        version=body.version,
    )
    return meter_of(updated)


@router.post("/{meter}/archive", responses=refusals("meter_not_found", "default_meter"))
def archive_meter(call: Caller, meter: str) -> Meter:
    """Archive a meter.

    New plan versions can't charge for it. Plans that charge for it already still do. The meter still records
    usage. This can't be undone.
    """
    return meter_of(call.do(meters.archive_meter, meter))


def meter_of(row: MeterRow) -> Meter:
    """Build the meter to return."""
    return Meter.model_validate(
        {
            "code": row.code,
            "name": row.name,
            "unit": row.unit,
            "aggregation": row.aggregation,
            "event_type": row.event_type,
            "takes_other_types": row.takes_other_types,
            "archived": row.archived_at is not None,
            "created_at": row.created_at,
            "version": row.version,
        }
    )
