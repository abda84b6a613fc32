"""Usage events. The table is append-only and by far the largest."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Column, Index, Text, text
from sqlmodel import Field, SQLModel

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
# Control characters and line separators, as `services.shared.characters` rejects them.
_CONTROL_CHARACTERS = r"[\u0001-\u001f\u007f-\u009f\u2028\u2029]"
# The event is billed in a later period than its usage month.
LATE = "occurred_at < billing_period::timestamp AT TIME ZONE 'UTC'"


class UsageEvent(SQLModel, table=True):
    """A quantity that a customer used at some time. Its billing period is fixed when it is recorded."""

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
            postgresql_include=["quantity"],
        ),
        Index("ix_usage_event_occurred_at", "occurred_at"),
        Index("ix_usage_event_late", "occurred_at", "billing_period", postgresql_where=text(LATE)),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    idempotency_key: str = Field(sa_column=Column(Text, primary_key=True))
    occurred_at: datetime = Field(sa_column=moment_column())
    recorded_at: datetime = Field(sa_column=moment_column())
    billing_period: date = Field(sa_column=day_column())
    quantity: Decimal = Field(sa_column=entered_column())
    recorded_by: str = Field(sa_column=text_column())
