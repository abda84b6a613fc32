"""Plan versions and the issuer's company details."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, SmallInteger, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from billing_app.models.columns import (
    digits_check,
    entered_column,
    identity_column,
    moment_column,
    text_column,
)


class Plan(SQLModel, table=True):
    """One version of a plan. Its terms never change. Only `archived_at` can be set later."""

    __tablename__ = "plan"
    __table_args__ = (
        UniqueConstraint("plan_id", "currency"),
        CheckConstraint("version >= 1", name="version_positive"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code"),
        CheckConstraint("name <> '' AND name = btrim(name)", name="name_trimmed"),
        digits_check("monthly_price_minor", 38, 0),
        digits_check("included_units", 14, 6),
        digits_check("overage_unit_price", 8, 12),
        # Names that differ only in case are the same plan, whose versions share one numbering.
        Index("uq_plan_name_version", text("lower(name)"), "version", unique=True),
    )

    plan_id: int | None = Field(default=None, sa_column=identity_column())
    name: str = Field(sa_column=text_column())
    version: int
    currency: str = Field(sa_column=text_column())
    monthly_price_minor: Decimal = Field(sa_column=entered_column())
    included_units: Decimal = Field(sa_column=entered_column())
    overage_unit_price: Decimal = Field(sa_column=entered_column())
    created_at: datetime = Field(sa_column=moment_column())
    archived_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))


class Issuer(SQLModel, table=True):
    """The company details that are copied into every invoice. There is one row."""

    __tablename__ = "issuer"
    __table_args__ = (CheckConstraint("issuer_id = 1", name="only_one"),)

    issuer_id: int = Field(default=1, sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    name: str = Field(sa_column=text_column())
    address: str = Field(sa_column=text_column())
    email: str = Field(sa_column=text_column())
    payment_instructions: str = Field(sa_column=text_column())
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
