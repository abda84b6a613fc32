"""Usage events and their corrections. Both tables are append-only; that of events is by far the largest."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from billing_app.domain.terms import DEFAULT_METER_ID
from billing_app.models.columns import (
    customer_key_column,
    day_column,
    digits_check,
    entered_column,
    first_of_month_check,
    moment_column,
    text_column,
)

IDEMPOTENCY_KEY_MAX = 255
ITEM_MAX = 255
# Control characters and line separators, as `services.shared.characters` rejects them.
_CONTROL_CHARACTERS = r"[\u0001-\u001f\u007f-\u009f\u2028\u2029]"
# The event is billed in a later period than its usage month.
LATE = "occurred_at < billing_period::timestamp AT TIME ZONE 'UTC'"


class UsageEvent(SQLModel, table=True):
    """A quantity that a customer used at some time. Its billing period is fixed when it is recorded.

    `item` is what a meter counts that counts different items; a trigger ensures that no other has one.
    """

    __tablename__ = "usage_event"
    __table_args__ = (
        CheckConstraint(
            f"length(idempotency_key) BETWEEN 1 AND {IDEMPOTENCY_KEY_MAX}",
            name="idempotency_key_length",
        ),
        CheckConstraint(
            f"idempotency_key !~ '{_CONTROL_CHARACTERS}'", name="idempotency_key_control_characters"
        ),
        digits_check("quantity", 14, 6),
        CheckConstraint("item IS NULL OR quantity = 1", name="item_counts_once"),
        CheckConstraint(f"length(item) BETWEEN 1 AND {ITEM_MAX}", name="item_length"),
        CheckConstraint(f"item !~ '{_CONTROL_CHARACTERS}'", name="item_control_characters"),
        first_of_month_check("billing_period"),
        CheckConstraint(
            "billing_period >= date_trunc('month', occurred_at AT TIME ZONE 'UTC')",
            name="billed_no_earlier_than_used",
        ),
        Index(
            "ix_usage_event_billing",
            "billing_period",
            "customer_id",
            "occurred_at",
            postgresql_include=["quantity", "meter_id"],
        ),
        Index(
            "ix_usage_event_item",
            "billing_period",
            "customer_id",
            "occurred_at",
            "meter_id",
            "item",
            postgresql_where=text("item IS NOT NULL"),
        ),
        Index("ix_usage_event_meter", "meter_id", "occurred_at"),
        Index("ix_usage_event_late", "occurred_at", "billing_period", postgresql_where=text(LATE)),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    idempotency_key: str = Field(sa_column=Column(Text, primary_key=True))
    occurred_at: datetime = Field(sa_column=moment_column())
    recorded_at: datetime = Field(sa_column=moment_column())
    billing_period: date = Field(sa_column=day_column())
    quantity: Decimal = Field(sa_column=entered_column())
    recorded_by: str = Field(sa_column=text_column())
    meter_id: int = Field(
        default=DEFAULT_METER_ID,
        sa_column=Column(SmallInteger, nullable=False, server_default=str(DEFAULT_METER_ID)),
    )
    item: str | None = Field(default=None, sa_column=text_column(nullable=True))


class UsageCorrection(SQLModel, table=True):
    """The quantity that an event should have had. The customer and the correction key identify it.

    The corrections of an event are numbered. Each has the quantity before it, and a trigger ensures that it
    is the one of the correction before, or of the event. Its billing period is fixed when it is recorded.
    """

    __tablename__ = "usage_correction"
    __table_args__ = (
        UniqueConstraint("customer_id", "idempotency_key", "number"),
        ForeignKeyConstraint(
            ["customer_id", "idempotency_key"], ["usage_event.customer_id", "usage_event.idempotency_key"]
        ),
        CheckConstraint(
            f"length(correction_key) BETWEEN 1 AND {IDEMPOTENCY_KEY_MAX}", name="correction_key_length"
        ),
        CheckConstraint(
            f"correction_key !~ '{_CONTROL_CHARACTERS}'", name="correction_key_control_characters"
        ),
        CheckConstraint("number >= 1", name="number_positive"),
        digits_check("quantity_before", 14, 6),
        digits_check("quantity", 14, 6),
        CheckConstraint(
            "difference = quantity - quantity_before AND difference <> 0", name="difference_rule"
        ),
        first_of_month_check("billing_period"),
        CheckConstraint("btrim(reason) <> ''", name="reason_given"),
        Index(
            "ix_usage_correction_billing",
            "billing_period",
            "customer_id",
            "occurred_at",
            postgresql_include=["difference", "meter_id"],
        ),
        Index("ix_usage_correction_recorded_at", "recorded_at", "customer_id", "idempotency_key", "number"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    correction_key: str = Field(sa_column=Column(Text, primary_key=True))
    idempotency_key: str = Field(sa_column=text_column())
    number: int = Field(sa_column=Column(Integer, nullable=False))
    occurred_at: datetime = Field(sa_column=moment_column())
    meter_id: int = Field(sa_column=Column(SmallInteger, nullable=False))
    quantity_before: Decimal = Field(sa_column=entered_column())
    quantity: Decimal = Field(sa_column=entered_column())
    difference: Decimal = Field(sa_column=entered_column())
    billing_period: date = Field(sa_column=day_column())
    reason: str = Field(sa_column=text_column())
    recorded_at: datetime = Field(sa_column=moment_column())
    recorded_by: str = Field(sa_column=text_column())
