"""Plan versions with their charges and tiers, whose terms never change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.append_only import append_only
from billing_app.database.baseline.pieces import ENTERED_NUMBER, PLPGSQL, TIMESTAMP, Subject, checks, digits


def _create_plan_table() -> None:
    """Create the plan versions. A trigger keeps their terms from changing.

    The counts ensure that no charge and no tier is added to a plan later.
    """
    op.create_table(
        "plan",
        sa.Column("plan_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("monthly_price_minor", ENTERED_NUMBER, nullable=False),
        sa.Column("charge_count", sa.SmallInteger(), nullable=False),
        sa.Column("tier_count", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("archived_at", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("plan_id", name=op.f("pk_plan")),
        sa.UniqueConstraint("plan_id", "currency", name=op.f("uq_plan_plan_id_currency")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_plan_version_positive")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_plan_currency_code")),
        sa.CheckConstraint("name <> '' AND name = btrim(name)", name=op.f("ck_plan_name_trimmed")),
        # NaN and infinity sort above every number, so the upper bounds reject them as well.
        sa.CheckConstraint(
            "monthly_price_minor >= 0 AND monthly_price_minor < 1e38 AND scale(monthly_price_minor) <= 0",
            name=op.f("ck_plan_monthly_price_minor_digits"),
        ),
        sa.CheckConstraint("charge_count BETWEEN 0 AND 20", name=op.f("ck_plan_charge_count_limit")),
        sa.CheckConstraint(
            "tier_count BETWEEN 0 AND charge_count * 20", name=op.f("ck_plan_tier_count_limit")
        ),
    )


def _create_plan_charge_table() -> None:
    op.create_table(
        "plan_charge",
        sa.Column("plan_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("meter_id", sa.SmallInteger(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("included_units", ENTERED_NUMBER, nullable=True),
        sa.Column("unit_price", ENTERED_NUMBER, nullable=True),
        sa.Column("package_size", ENTERED_NUMBER, nullable=True),
        sa.Column("package_price_minor", ENTERED_NUMBER, nullable=True),
        sa.Column("tier_count", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("plan_id", "position", name=op.f("pk_plan_charge")),
        sa.UniqueConstraint("plan_id", "meter_id", name=op.f("uq_plan_charge_plan_id_meter_id")),
        sa.ForeignKeyConstraint(["plan_id"], ["plan.plan_id"], name=op.f("fk_plan_charge_plan")),
        sa.ForeignKeyConstraint(["meter_id"], ["meter.meter_id"], name=op.f("fk_plan_charge_meter")),
        *checks(_PLAN_CHARGE_CHECKS),
    )


_PLAN_CHARGE_CHECKS = {
    "ck_plan_charge_position_limit": "position BETWEEN 1 AND 20",
    "ck_plan_charge_terms_of_model": (
        "CASE model WHEN 'per_unit' THEN num_nulls(included_units, unit_price) = 0"
        " AND num_nonnulls(package_size, package_price_minor) = 0 AND tier_count = 0"
        " WHEN 'package' THEN num_nulls(included_units, package_size, package_price_minor) = 0"
        " AND unit_price IS NULL AND tier_count = 0"
        " WHEN 'graduated' THEN num_nonnulls(included_units, unit_price, package_size,"
        " package_price_minor) = 0 AND tier_count BETWEEN 1 AND 20"
        " WHEN 'volume' THEN num_nonnulls(included_units, unit_price, package_size,"
        " package_price_minor) = 0 AND tier_count BETWEEN 1 AND 20"
        " ELSE false END"
    ),
    "ck_plan_charge_included_units_digits": digits("included_units", 14, 6),
    "ck_plan_charge_unit_price_digits": digits("unit_price", 8, 12),
    "ck_plan_charge_package_size_digits": digits("package_size", 14, 6),
    "ck_plan_charge_package_size_positive": "package_size > 0",
    "ck_plan_charge_package_price_minor_digits": digits("package_price_minor", 38, 0),
}


def _create_plan_tier_table() -> None:
    op.create_table(
        "plan_tier",
        sa.Column("plan_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("tier_number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("up_to", ENTERED_NUMBER, nullable=True),
        sa.Column("unit_price", ENTERED_NUMBER, nullable=False),
        sa.Column("flat_price_minor", ENTERED_NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("plan_id", "position", "tier_number", name=op.f("pk_plan_tier")),
        sa.ForeignKeyConstraint(
            ["plan_id", "position"],
            ["plan_charge.plan_id", "plan_charge.position"],
            name=op.f("fk_plan_tier_plan_charge"),
        ),
        *checks(_PLAN_TIER_CHECKS),
    )


_PLAN_TIER_CHECKS = {
    "ck_plan_tier_tier_number_limit": "tier_number BETWEEN 1 AND 20",
    "ck_plan_tier_up_to_digits": digits("up_to", 14, 6),
    "ck_plan_tier_up_to_positive": "up_to > 0",
    "ck_plan_tier_unit_price_digits": digits("unit_price", 8, 12),
    "ck_plan_tier_flat_price_minor_digits": digits("flat_price_minor", 38, 0),
}


def _create_plan_index() -> None:
    # Names that differ only in case are the same plan, so their versions are numbered together.
    op.create_index("uq_plan_name_version", "plan", [sa.text("lower(name)"), "version"], unique=True)


_REFUSE_NEW_TERMS = f"""
CREATE FUNCTION refuse_new_terms() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF TG_OP = 'DELETE'
       OR to_jsonb(NEW) - 'archived_at' IS DISTINCT FROM to_jsonb(OLD) - 'archived_at'
    THEN
        RAISE EXCEPTION 'a plan version can only be archived: create a new version to change its terms'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$
"""

# The charges of a plan version, and then their tiers, are each inserted by one statement, after which their
# counts must match, so none can be added later.
_CHECK_PLAN_CHARGES = f"""
CREATE FUNCTION check_plan_charges() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT plan_id FROM added) a
        JOIN public.plan p USING (plan_id)
        CROSS JOIN LATERAL (
            SELECT count(*) AS charges, max(c.position) AS last, sum(c.tier_count) AS tiers
            FROM public.plan_charge c WHERE c.plan_id = a.plan_id
        ) found
        WHERE found.charges <> p.charge_count OR found.last <> p.charge_count
           OR found.tiers <> p.tier_count
    ) THEN
        RAISE EXCEPTION 'the charges of a plan version must match its counts'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$
"""

_CHECK_PLAN_TIERS = f"""
CREATE FUNCTION check_plan_tiers() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT plan_id, position FROM added) a
        JOIN public.plan_charge c USING (plan_id, position)
        CROSS JOIN LATERAL (
            SELECT count(*) AS tiers, max(t.tier_number) AS last,
                   bool_or(t.is_out_of_order OR (t.up_to IS NULL) <> (t.tier_number = c.tier_count))
                       AS is_wrong
            FROM (
                SELECT tier_number, up_to,
                       coalesce(up_to <= lag(up_to) OVER (ORDER BY tier_number), false) AS is_out_of_order
                FROM public.plan_tier WHERE plan_id = a.plan_id AND position = a.position
            ) t
        ) found
        WHERE found.tiers <> c.tier_count OR found.last <> c.tier_count OR found.is_wrong
    ) THEN
        RAISE EXCEPTION 'the tiers of a charge must match its count and ascend to a last one without a bound'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$
"""

_CHECK_PLAN_COMPLETE = f"""
CREATE FUNCTION check_plan_complete() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF NEW.charge_count <> (SELECT count(*) FROM public.plan_charge WHERE plan_id = NEW.plan_id)
       OR NEW.tier_count <> (SELECT count(*) FROM public.plan_tier WHERE plan_id = NEW.plan_id)
    THEN
        RAISE EXCEPTION 'a plan version must be saved with all of its charges and tiers'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$
"""


SUBJECT = Subject(
    tables=("plan", "plan_charge", "plan_tier"),
    steps=(_create_plan_table, _create_plan_charge_table, _create_plan_tier_table, _create_plan_index),
    functions={
        "refuse_new_terms()": _REFUSE_NEW_TERMS,
        "check_plan_charges()": _CHECK_PLAN_CHARGES,
        "check_plan_tiers()": _CHECK_PLAN_TIERS,
        "check_plan_complete()": _CHECK_PLAN_COMPLETE,
    },
    triggers=(
        append_only("plan_charge"),
        append_only("plan_tier"),
        """
        CREATE TRIGGER terms_stay BEFORE UPDATE OR DELETE ON plan FOR EACH ROW
        EXECUTE FUNCTION refuse_new_terms()
        """,
        """
        CREATE TRIGGER charges_complete AFTER INSERT ON plan_charge REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION check_plan_charges()
        """,
        """
        CREATE TRIGGER tiers_complete AFTER INSERT ON plan_tier REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION check_plan_tiers()
        """,
        """
        CREATE CONSTRAINT TRIGGER ck_plan_complete AFTER INSERT ON plan DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION check_plan_complete()
        """,
    ),
)
