"""Meters and plan versions. The terms of both never change."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from billing_app.domain.terms import CHARGES_MAX, DEFAULT_METER_ID, TIERS_MAX
from billing_app.models.columns import (
    digits_check,
    entered_column,
    identity_column,
    moment_column,
    text_column,
)


class Meter(SQLModel, table=True):
    """Something that is metered. The code and the aggregation never change, and meters are never deleted.

    The first row is the default meter, which takes usage that names no meter. If `takes_other_types` is set,
    it also takes CloudEvents of a type that no meter names.
    """

    __tablename__ = "meter"
    __table_args__ = (
        CheckConstraint("code ~ '^[a-z0-9_]{1,63}$'", name="code_form"),
        CheckConstraint("name <> '' AND name = btrim(name)", name="name_trimmed"),
        CheckConstraint("unit <> '' AND unit = btrim(unit)", name="unit_trimmed"),
        CheckConstraint("aggregation IN ('sum', 'max', 'unique')", name="aggregation_known"),
        CheckConstraint("event_type <> ''", name="event_type_given"),
        CheckConstraint(
            f"meter_id = {DEFAULT_METER_ID} OR NOT takes_other_types", name="only_default_takes_other_types"
        ),
        CheckConstraint(
            f"meter_id <> {DEFAULT_METER_ID} OR (aggregation = 'sum' AND archived_at IS NULL)",
            name="default_stays",
        ),
        UniqueConstraint("code"),
        UniqueConstraint("event_type"),
    )

    meter_id: int | None = Field(
        default=None, sa_column=Column(SmallInteger, Identity(always=True), primary_key=True)
    )
    code: str = Field(sa_column=text_column())
    name: str = Field(sa_column=text_column())
    unit: str = Field(sa_column=text_column())
    aggregation: str = Field(sa_column=text_column())
    event_type: str = Field(sa_column=text_column())
    takes_other_types: bool = Field(default=False)
    created_at: datetime = Field(sa_column=moment_column())
    archived_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))
    version: int = Field(default=1, sa_column=Column(BigInteger, nullable=False))


class Plan(SQLModel, table=True):
    """One version of a plan. Its terms never change. Only `archived_at` can be set later.

    A deferred trigger ensures that it is committed with exactly `charge_count` charges and `tier_count` tiers.
    """

    __tablename__ = "plan"
    __table_args__ = (
        UniqueConstraint("plan_id", "currency"),
        CheckConstraint("version >= 1", name="version_positive"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code"),
        CheckConstraint("name <> '' AND name = btrim(name)", name="name_trimmed"),
        CheckConstraint(f"charge_count BETWEEN 0 AND {CHARGES_MAX}", name="charge_count_limit"),
        CheckConstraint(f"tier_count BETWEEN 0 AND charge_count * {TIERS_MAX}", name="tier_count_limit"),
        digits_check("monthly_price_minor", 38, 0),
        # Names that differ only in case are the same plan, whose versions share one numbering.
        Index("uq_plan_name_version", text("lower(name)"), "version", unique=True),
    )

    plan_id: int | None = Field(default=None, sa_column=identity_column())
    name: str = Field(sa_column=text_column())
    version: int
    currency: str = Field(sa_column=text_column())
    monthly_price_minor: Decimal = Field(sa_column=entered_column())
    charge_count: int = Field(sa_column=Column(SmallInteger, nullable=False))
    tier_count: int = Field(sa_column=Column(SmallInteger, nullable=False))
    created_at: datetime = Field(sa_column=moment_column())
    archived_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))


class PlanCharge(SQLModel, table=True):
    """The price of one meter's usage in a plan version. The model decides which terms it has."""

    __tablename__ = "plan_charge"
    __table_args__ = (
        ForeignKeyConstraint(["plan_id"], ["plan.plan_id"]),
        ForeignKeyConstraint(["meter_id"], ["meter.meter_id"]),
        UniqueConstraint("plan_id", "meter_id"),
        CheckConstraint(f"position BETWEEN 1 AND {CHARGES_MAX}", name="position_limit"),
        CheckConstraint(
            "CASE model WHEN 'per_unit' THEN num_nulls(included_units, unit_price) = 0"
            " AND num_nonnulls(package_size, package_price_minor) = 0 AND tier_count = 0"
            " WHEN 'package' THEN num_nulls(included_units, package_size, package_price_minor) = 0"
            " AND unit_price IS NULL AND tier_count = 0"
            " WHEN 'graduated' THEN num_nonnulls(included_units, unit_price, package_size,"
            f" package_price_minor) = 0 AND tier_count BETWEEN 1 AND {TIERS_MAX}"
            " WHEN 'volume' THEN num_nonnulls(included_units, unit_price, package_size,"
            f" package_price_minor) = 0 AND tier_count BETWEEN 1 AND {TIERS_MAX}"
            " ELSE false END",
            name="terms_of_model",
        ),
        digits_check("included_units", 14, 6),
        digits_check("unit_price", 8, 12),
        digits_check("package_size", 14, 6),
        CheckConstraint("package_size > 0", name="package_size_positive"),
        digits_check("package_price_minor", 38, 0),
    )

    plan_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    position: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    meter_id: int = Field(sa_column=Column(SmallInteger, nullable=False))
    model: str = Field(sa_column=text_column())
    included_units: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    unit_price: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    package_size: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    package_price_minor: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    tier_count: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False))


class PlanTier(SQLModel, table=True):
    """A tier of a graduated or volume charge: the price of the units up to and including `up_to`.

    A trigger ensures that the bounds ascend and that only the last tier has none.
    """

    __tablename__ = "plan_tier"
    __table_args__ = (
        ForeignKeyConstraint(["plan_id", "position"], ["plan_charge.plan_id", "plan_charge.position"]),
        CheckConstraint(f"tier_number BETWEEN 1 AND {TIERS_MAX}", name="tier_number_limit"),
        digits_check("up_to", 14, 6),
        CheckConstraint("up_to > 0", name="up_to_positive"),
        digits_check("unit_price", 8, 12),
        digits_check("flat_price_minor", 38, 0),
    )

    plan_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    position: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    tier_number: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    up_to: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    unit_price: Decimal = Field(sa_column=entered_column())
    flat_price_minor: Decimal = Field(sa_column=entered_column())
