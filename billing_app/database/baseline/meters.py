"""What customers' usage is measured in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.pieces import PLPGSQL, TIMESTAMP, Subject


def _create_meter_table() -> None:
    """Create the meters and the default meter, which takes usage that names no meter."""
    op.create_table(
        "meter",
        sa.Column("meter_id", sa.SmallInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("aggregation", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("takes_other_types", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("archived_at", TIMESTAMP, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id", name=op.f("pk_meter")),
        sa.UniqueConstraint("code", name=op.f("uq_meter_code")),
        sa.UniqueConstraint("event_type", name=op.f("uq_meter_event_type")),
        sa.CheckConstraint("code ~ '^[a-z0-9_]{1,63}$'", name=op.f("ck_meter_code_form")),
        sa.CheckConstraint("name <> '' AND name = btrim(name)", name=op.f("ck_meter_name_trimmed")),
        sa.CheckConstraint("unit <> '' AND unit = btrim(unit)", name=op.f("ck_meter_unit_trimmed")),
        sa.CheckConstraint(
            "aggregation IN ('sum', 'max', 'unique')", name=op.f("ck_meter_aggregation_known")
        ),
        sa.CheckConstraint("event_type <> ''", name=op.f("ck_meter_event_type_given")),
        sa.CheckConstraint(
            "meter_id = 1 OR NOT takes_other_types", name=op.f("ck_meter_only_default_takes_other_types")
        ),
        sa.CheckConstraint(
            "meter_id <> 1 OR (aggregation = 'sum' AND archived_at IS NULL)",
            name=op.f("ck_meter_default_stays"),
        ),
    )
    op.execute(
        "INSERT INTO meter (code, name, unit, aggregation, event_type, takes_other_types, created_at, version)"
        " VALUES ('usage', 'Usage', 'unit', 'sum', 'usage', true, now(), 1)"
    )


_REFUSE_OTHER_METER = f"""
CREATE FUNCTION refuse_other_meter() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    RAISE EXCEPTION 'a meter cannot be deleted, and its code and aggregation cannot change'
        USING ERRCODE = 'restrict_violation';
END
$$
"""


SUBJECT = Subject(
    tables=("meter",),
    steps=(_create_meter_table,),
    functions={"refuse_other_meter()": _REFUSE_OTHER_METER},
    triggers=(
        """
        CREATE TRIGGER stays_the_same BEFORE UPDATE ON meter FOR EACH ROW
        WHEN (NEW.meter_id <> OLD.meter_id OR NEW.code <> OLD.code OR NEW.aggregation <> OLD.aggregation)
        EXECUTE FUNCTION refuse_other_meter()
        """,
        """
        CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON meter
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_meter()
        """,
    ),
)
