"""Meters: what they are called can change, what they mean can't."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.services.plans import meters, plans
from billing_app.services.plans.charges import ChargeTerms
from billing_app.services.plans.meters import MeterRow
from tests.factories import make_customer, make_meter
from tests.races import at_once, codes
from tests.refusals import refused

SEATS: dict[str, Any] = {"code": "seats", "name": "Seats", "unit": "seat", "aggregation": "max"}


@pytest.fixture
def application(urls: Urls) -> Iterator[psycopg.Connection]:
    with psycopg.connect(urls.application.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def change(database: Database, code: str, actor: Actor = SYSTEM, **fields: Any) -> MeterRow:
    return database.call(actor, meters.update_meter, code, **fields)


def listed(database: Database, **filters: Any) -> list[str]:
    """Return the code of every meter, read two at a time."""
    found, cursor = [], None
    while True:
        page = database.call(SYSTEM, meters.list_meters, limit=2, cursor=cursor, **filters)
        found += [meter.code for meter in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_new_meter_takes_events_of_its_code(database: Database) -> None:
    made = make_meter(database, "seats", "max")
    assert (made.code, made.name, made.unit, made.aggregation) == ("seats", "Seats", "seat", "max")
    assert (made.event_type, made.takes_other_types, made.archived_at, made.version) == (
        "seats", False, None, 1,
    )  # fmt: skip
    assert database.call(SYSTEM, meters.get_meter, "seats") == made
    with refused("meter_not_found"):
        database.call(SYSTEM, meters.get_meter, "SEATS")


def test_default_meter_is_there_from_the_start(database: Database) -> None:
    default = database.call(SYSTEM, meters.get_meter, "usage")
    assert default.is_default
    assert default.takes_other_types
    assert listed(database) == ["usage"]


def test_meters_are_listed_oldest_first(database: Database) -> None:
    for code in ("zebras", "apples", "seats"):
        make_meter(database, code)
    database.call(SYSTEM, meters.archive_meter, "apples")
    assert listed(database) == ["usage", "zebras", "apples", "seats"]
    assert listed(database, archived=True) == ["apples"]
    assert listed(database, archived=False) == ["usage", "zebras", "seats"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", ""),
        ("code", "Seats"),
        ("code", "seats-2"),
        ("code", "a" * 64),
        ("code", "s\u00e9ats"),
        ("code", "seats\n"),
        ("name", " "),
        ("name", "a" * 201),
        ("unit", ""),
        ("unit", "a" * 64),
        ("aggregation", "average"),
        ("event_type", ""),
        ("event_type", "a\tb"),
    ],
)
def test_wrong_value_names_its_field(database: Database, field: str, value: str) -> None:
    with refused("invalid", field=field):
        database.call(SYSTEM, meters.create_meter, **SEATS | {field: value})


def test_codes_and_event_types_are_unique(database: Database, owner: psycopg.Connection) -> None:
    make_meter(database, "seats", event_type="com.example.seat")
    with refused("meter_code_taken"):
        make_meter(database, "seats", event_type="other")
    for code, event_type in (("places", "com.example.seat"), ("places", "usage")):
        with refused("event_type_taken"):
            make_meter(database, code, event_type=event_type)
    # Refused attempts use up none of the few IDs.
    assert make_meter(database, "places").meter_id == 3


def test_twenty_at_once_make_one_meter(database: Database, owner: psycopg.Connection) -> None:
    outcomes = at_once(database, [lambda session: meters.create_meter(session, SYSTEM, **SEATS)] * 20)
    assert codes(outcomes) == ["meter_code_taken"] * 19
    assert owner.execute("SELECT count(*), max(meter_id) FROM meter").fetchone() == (2, 2)


def test_number_of_meters_is_limited(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "METERS_MAX", 2)
    make_meter(database, "seats")
    with refused("too_many_meters"):
        make_meter(database, "places")


def test_name_and_unit_can_change(database: Database) -> None:
    make_meter(database, "seats")
    changed = change(database, "seats", name=" Places ", unit="place", version=1)
    assert (changed.name, changed.unit, changed.version) == ("Places", "place", 2)
    assert change(database, "seats", name="Places") == changed
    with refused("stale") as caught:
        change(database, "seats", name="Chairs", version=1)
    assert caught.value.facts["version"] == 2
    assert caught.value.facts["newer"] == {"name": "Places", "unit": "place", "takes_other_types": False}


def test_only_an_admin_decides_which_types_the_default_meter_takes(
    database: Database, admin: Actor, billing: Actor
) -> None:
    with refused("forbidden"):
        change(database, "usage", billing, takes_other_types=False)
    assert change(database, "usage", billing, takes_other_types=True, name="Units").name == "Units"
    assert not change(database, "usage", admin, takes_other_types=False).takes_other_types
    make_meter(database, "seats")
    with refused("invalid", field="takes_other_types"):
        change(database, "seats", admin, takes_other_types=True)


def test_archived_meter_is_kept_out_of_new_plans(database: Database) -> None:
    make_meter(database, "seats")
    archived = database.call(SYSTEM, meters.archive_meter, "seats")
    assert archived.archived_at is not None
    assert database.call(SYSTEM, meters.archive_meter, "seats") == archived
    charge = ChargeTerms("per_unit", "seats", included_units=0, unit_price=1)
    with refused("meter_not_found"):
        database.call(SYSTEM, plans.create_plan, name="Team", monthly_price=0, charges=[charge])
    with refused("default_meter"):
        database.call(SYSTEM, meters.archive_meter, "usage")


def test_finance_user_only_reads(database: Database, finance: Actor) -> None:
    assert database.call(finance, meters.get_meter, "usage").code == "usage"
    assert len(database.call(finance, meters.list_meters).items) == 1
    with refused("forbidden"):
        database.call(finance, meters.create_meter, **SEATS)
    with refused("forbidden"):
        change(database, "usage", finance, name="Mine")
    with refused("forbidden"):
        database.call(finance, meters.archive_meter, "usage")


def test_each_change_is_in_the_audit_log(database: Database, owner: psycopg.Connection) -> None:
    make_meter(database, "seats", "unique")
    change(database, "seats", name="Places")
    change(database, "seats", name="Places")
    database.call(SYSTEM, meters.archive_meter, "seats")
    database.call(SYSTEM, meters.archive_meter, "seats")
    entries = owner.execute("SELECT action, subject, details FROM audit_entry ORDER BY 1 DESC").fetchall()
    assert entries == [
        ("meter.created", "meter_2", {"code": "seats", "name": "Seats", "unit": "seat",
                                      "aggregation": "unique", "event_type": "seats"}),
        ("meter.changed", "meter_2", {"name": "Places"}),
        ("meter.archived", "meter_2", {}),
    ]  # fmt: skip


ATTACKS = [
    "UPDATE meter SET code = 'other' WHERE meter_id = 2",
    "UPDATE meter SET aggregation = 'sum' WHERE meter_id = 2",
    "DELETE FROM meter WHERE meter_id = 2",
    "TRUNCATE meter CASCADE",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_meaning_of_a_meter_never_changes(
    database: Database, application: psycopg.Connection, owner: psycopg.Connection, attack: str
) -> None:
    make_meter(database, "seats", "max")
    before = owner.execute("SELECT * FROM meter ORDER BY 1").fetchall()
    with pytest.raises(errors.InsufficientPrivilege):
        application.execute(attack)
    with pytest.raises(errors.RestrictViolation, match="a meter cannot be deleted"):
        owner.execute(attack)
    assert owner.execute("SELECT * FROM meter ORDER BY 1").fetchall() == before


@pytest.mark.parametrize(
    ("attack", "constraint"),
    [
        ("UPDATE meter SET takes_other_types = true WHERE meter_id = 2", "only_default_takes_other_types"),
        ("UPDATE meter SET archived_at = now() WHERE meter_id = 1", "default_stays"),
        ("UPDATE meter SET name = ' x'", "name_trimmed"),
        ("UPDATE meter SET unit = ''", "unit_trimmed"),
    ],
)
def test_database_refuses_wrong_meters(
    database: Database,
    application: psycopg.Connection,
    owner: psycopg.Connection,
    attack: str,
    constraint: str,
) -> None:
    make_meter(database, "seats", "max")
    for connection in (application, owner):
        with pytest.raises(errors.CheckViolation, match=constraint):
            connection.execute(attack)


EVENT = (
    "INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at, billing_period,"
    " quantity, recorded_by, meter_id, item) VALUES (1, 'x', '2026-11-05Z', now(), '2026-11-01', {values})"
)


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ("1, 'x', 9, NULL", "usage needs an existing meter"),
        ("1, 'x', 1, 'ada'", "usage needs an existing meter"),
        ("1, 'x', 2, NULL", "usage needs an existing meter"),
        ("2, 'x', 2, 'ada'", "item_counts_once"),
        ("1, 'x', 2, ''", "item_length"),
        ("1, 'x', 2, E'a\\tb'", "item_control_characters"),
    ],
)
def test_database_refuses_events_that_do_not_fit_their_meter(
    database: Database,
    application: psycopg.Connection,
    owner: psycopg.Connection,
    values: str,
    refusal: str,
) -> None:
    make_customer(database)
    make_meter(database, "users", "unique")
    for connection in (application, owner):
        with pytest.raises(errors.IntegrityError, match=refusal):
            connection.execute(EVENT.format(values=values))
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (0,)
