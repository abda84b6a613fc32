"""Customers, their billing progress, subscriptions and suspensions."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlmodel import Field, SQLModel

from billing_app.models.columns import (
    customer_key_column,
    day_column,
    first_of_month_check,
    identity_column,
    moment_column,
    text_column,
)

SEARCHED = ("name", "email", "key")
KEY_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


class Customer(SQLModel, table=True):
    """A customer. This is a reference table in a distributed database, so email and key are unique everywhere."""

    __tablename__ = "customer"
    __table_args__ = (
        # Foreign keys refer to this pair, which keeps all plans of a customer in one currency.
        UniqueConstraint("customer_id", "currency"),
        CheckConstraint(f"key ~ '{KEY_PATTERN}' AND lower(key) !~ '^cus_'", name="key_form"),
        CheckConstraint("name <> '' AND name = btrim(name)", name="name_trimmed"),
        CheckConstraint("email ~ '^[^@[:space:]]+@[^@[:space:]]+$'", name="email_form"),
        Index("uq_customer_key", text("lower(key)"), unique=True),
        CheckConstraint("email_key <> ''", name="email_key_given"),
        # Partial, although the condition always holds: PostgreSQL treats the columns of other unique
        # indexes as keys, and a change to one would block the recording of the customer's usage.
        Index("uq_customer_email", "email_key", unique=True, postgresql_where=text("email_key <> ''")),
        Index("ix_customer_name", text("lower(name)"), "customer_id"),
        Index("ix_customer_created_at", "created_at", "customer_id"),
        Index(
            "ix_customer_search",
            *(literal_column(f"lower({each})").label(each) for each in SEARCHED),
            postgresql_using="gin",
            postgresql_ops=dict.fromkeys(SEARCHED, "gin_trgm_ops"),
        ),
    )

    customer_id: int | None = Field(default=None, sa_column=identity_column())
    key: str = Field(sa_column=text_column())
    name: str = Field(sa_column=text_column())
    email: str = Field(sa_column=text_column())
    # The normal form that decides whether two addresses are the same.
    email_key: str = Field(sa_column=text_column())
    billing_address: str = Field(default="", sa_column=text_column())
    currency: str = Field(sa_column=text_column())
    created_at: datetime = Field(sa_column=moment_column())
    version: int = Field(default=1, sa_column=Column(BigInteger, nullable=False))


class CustomerBilling(SQLModel, table=True):
    """The closed and invoiced months of a customer, and the number and hash of its last invoice.

    Usage of months up to `closed_through` is billed later. Months up to `settled_through` have an
    invoice, or were skipped because there was nothing to invoice. Taking the next invoice number or
    recording a payment locks this row. A trigger ensures that these values never decrease.

    `credit_minor` is what invoices with a total below zero leave, less what was applied to other invoices or
    refunded. Triggers on those tables maintain it.
    """

    __tablename__ = "customer_billing"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id"], ["customer.customer_id"]),
        first_of_month_check("closed_through"),
        first_of_month_check("settled_through"),
        CheckConstraint("settled_through <= closed_through", name="settled_within_closed"),
        CheckConstraint("last_number >= 0", name="last_number_counts"),
        CheckConstraint("credit_minor >= 0", name="credit_not_negative"),
        CheckConstraint("(last_number = 0) = (last_sha256 IS NULL)", name="number_with_hash"),
        Index("ix_customer_billing_credit", "customer_id", postgresql_where=text("credit_minor > 0")),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    closed_through: date = Field(sa_column=day_column())
    settled_through: date = Field(sa_column=day_column())
    last_number: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    last_sha256: str | None = Field(default=None, sa_column=text_column(nullable=True))
    credit_minor: Decimal = Field(
        default=Decimal(0), sa_column=Column(Numeric(38, 0), nullable=False, server_default="0")
    )


class Subscription(SQLModel, table=True):
    """A customer's plan from a day on. A row without a plan cancels the subscription."""

    __tablename__ = "subscription"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id", "currency"], ["customer.customer_id", "customer.currency"]),
        ForeignKeyConstraint(["plan_id", "currency"], ["plan.plan_id", "plan.currency"]),
        Index("ix_subscription_plan_id", "plan_id"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    effective_from: date = Field(sa_column=Column(Date, primary_key=True))
    plan_id: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    currency: str = Field(sa_column=text_column())


class Suspension(SQLModel, table=True):
    """An interval `[started_at, ended_at)` in which usage is rejected. `ended_at` is null until it ends."""

    __tablename__ = "suspension"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id"], ["customer.customer_id"]),
        CheckConstraint("ended_at >= started_at", name="ends_after_start"),
        Index(
            "uq_suspension_open",
            "customer_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    started_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    ended_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))
