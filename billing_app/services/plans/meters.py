"""Use cases of meters: what usage is metered as, and how a month's events become one quantity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlmodel import Session, col, func, select, text

from billing_app.database import locks
from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.terms import DEFAULT_METER_ID
from billing_app.errors import Conflict, Invalid
from billing_app.models import Meter
from billing_app.services.plans.meter_queries import find_meter, lock_meter
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require

# Every recording statement may read all of them.
METERS_MAX = 1_000
UNIT_MAX = 63
EVENT_TYPE_MAX = 255
METER_CODE = re.compile("[a-z0-9_]{1,63}", re.ASCII)


class Aggregation(StrEnum):
    """How a month's events become one quantity."""

    SUM = "sum"
    MAX = "max"
    UNIQUE = "unique"


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A meter. `takes_other_types` is only ever true for the default meter."""

    meter_id: int
    code: str
    name: str
    unit: str
    aggregation: str
    event_type: str
    takes_other_types: bool
    created_at: datetime
    archived_at: datetime | None
    version: int

    @property
    def public_id(self) -> str:
        """The ID in the audit log, `meter_3`."""
        return public_id("meter", self.meter_id)

    @property
    def is_default(self) -> bool:
        """Whether usage that names no meter is recorded on this one."""
        return self.meter_id == DEFAULT_METER_ID


def create_meter(
    session: Session,
    actor: Actor,
    *,
    code: str,
    name: str,
    unit: str,
    aggregation: str,
    event_type: str | None = None,
) -> MeterRow:
    """Create a meter. Its code, aggregation and event type can't be changed later.

    It takes CloudEvents of the type `event_type`, by default its code.

    Raises:
        Invalid: naming the field that breaks a rule.
        Conflict: `meter_code_taken`, `event_type_taken`, `too_many_meters`.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    if not isinstance(code, str) or not METER_CODE.fullmatch(code):
        raise Invalid("code", "not_a_meter_code")
    event_type = code if event_type is None else event_type
    meter = Meter(
        code=code,
        name=validation.line("name", name, at_most=validation.NAME_MAX),
        unit=validation.line("unit", unit, at_most=UNIT_MAX),
        aggregation=str(validation.choice("aggregation", aggregation, Aggregation)),
        event_type=validation.line("event_type", event_type, at_most=EVENT_TYPE_MAX),
        created_at=now(session),
    )
    _refuse_taken(session, meter)
    session.add(meter)
    session.flush()
    created = _as_row(meter)
    audit.record(
        session, actor, "meter.created", created.public_id,
        name=created.name, code=created.code, unit=created.unit, aggregation=created.aggregation,
        event_type=created.event_type,
    )  # fmt: skip
    return created


def _refuse_taken(session: Session, meter: Meter) -> None:
    """Refuse a meter that can't be added. Others can't be added until the transaction ends.

    The constraints would refuse it too, but each such attempt would use up one of the 32,767 IDs.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": locks.CREATING_METER})
    taken = session.exec(
        select(Meter.code, Meter.event_type).where(
            (col(Meter.code) == meter.code) | (col(Meter.event_type) == meter.event_type)
        )
    ).all()
    if any(code == meter.code for code, _ in taken):
        raise Conflict("meter_code_taken", meter=meter.code)
    if taken:
        raise Conflict("event_type_taken", event_type=meter.event_type, meter=taken[0][0])
    if session.exec(select(func.count()).select_from(Meter)).one() >= METERS_MAX:
        raise Conflict("too_many_meters", at_most=METERS_MAX)


def update_meter(
    session: Session,
    actor: Actor,
    code: str,
    *,
    name: str | None = None,
    unit: str | None = None,
    takes_other_types: bool | None = None,
    version: int | None = None,
) -> MeterRow:
    """Change the given fields. Only an admin can change which event types the default meter takes.

    Invoices keep the name and unit that they were created with.

    Raises:
        Invalid: naming the field that breaks a rule.
        NotFound: `meter_not_found`.
        Conflict: `stale` with the newer values if `version` is outdated.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    meter = lock_meter(session, code)
    before = _as_row(meter)
    validation.refuse_stale(
        version, before.version, name=before.name, unit=before.unit,
        takes_other_types=before.takes_other_types,
    )  # fmt: skip
    changed = _find_changes(before, name, unit, takes_other_types)
    if "takes_other_types" in changed:
        require(actor, Permission.ADMINISTER)
    if changed:
        for field, value in changed.items():
            setattr(meter, field, value)
        meter.version += 1
        session.flush()
        audit.record(session, actor, "meter.changed", before.public_id, **changed)
    return _as_row(meter)


def _find_changes(
    before: MeterRow, name: str | None, unit: str | None, takes_other_types: bool | None
) -> dict[str, str | bool]:
    """Return the fields that change, with their new values. Raises Invalid."""
    given: dict[str, str | bool] = {}
    if name is not None:
        given["name"] = validation.line("name", name, at_most=validation.NAME_MAX)
    if unit is not None:
        given["unit"] = validation.line("unit", unit, at_most=UNIT_MAX)
    if takes_other_types is not None:
        if takes_other_types and not before.is_default:
            raise Invalid("takes_other_types", "only_of_default_meter")
        given["takes_other_types"] = takes_other_types
    return {field: value for field, value in given.items() if value != getattr(before, field)}


def archive_meter(session: Session, actor: Actor, code: str) -> MeterRow:
    """Keep the meter out of new plan versions. It still records usage.

    Archiving an archived meter changes nothing. Raises NotFound (`meter_not_found`) and Conflict
    (`default_meter`).
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    meter = lock_meter(session, code)
    if meter.meter_id == DEFAULT_METER_ID:
        raise Conflict("default_meter")
    if meter.archived_at is None:
        meter.archived_at = now(session)
        meter.version += 1
        session.flush()
        audit.record(session, actor, "meter.archived", _as_row(meter).public_id)
    return _as_row(meter)


def get_meter(session: Session, actor: Actor, code: str) -> MeterRow:
    """Return the meter with this code. Raises NotFound (`meter_not_found`)."""
    require(actor, Permission.READ)
    return _as_row(find_meter(session, code))


def list_meters(
    session: Session,
    actor: Actor,
    *,
    archived: bool | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[MeterRow]:
    """Return a page of meters, oldest first, so that the default meter is the first.

    `archived` selects archived meters or all others.
    """
    require(actor, Permission.READ)
    query = select(Meter).order_by(col(Meter.meter_id)).limit(check_limit(limit) + 1)
    if archived is not None:
        query = query.where(col(Meter.archived_at).is_not(None) == archived)
    if after := decode_cursor(cursor, int):
        query = query.where(col(Meter.meter_id) > after[0])
    return page_of([_as_row(meter) for meter in session.exec(query)], limit, lambda row: (row.meter_id,))


def list_all_meters(session: Session, actor: Actor) -> tuple[MeterRow, ...]:
    """Return all meters, archived ones included, oldest first. There are at most 1,000."""
    require(actor, Permission.READ)
    return tuple(_as_row(meter) for meter in session.exec(select(Meter).order_by(col(Meter.meter_id))))


def _as_row(meter: Meter) -> MeterRow:
    assert meter.meter_id is not None
    return MeterRow(
        meter_id=meter.meter_id,
        code=meter.code,
        name=meter.name,
        unit=meter.unit,
        aggregation=meter.aggregation,
        event_type=meter.event_type,
        takes_other_types=meter.takes_other_types,
        created_at=meter.created_at,
        archived_at=meter.archived_at,
        version=meter.version,
    )
