"""Figures for sorted lists and the dashboard, computed in the background. Billing never reads them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, Column, Double, ForeignKeyConstraint, Index, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from billing_app.models.columns import (
    customer_key_column,
    day_column,
    first_of_month_check,
    minor_column,
    moment_column,
    summed_column,
)


class CustomerFigures(SQLModel, table=True):
    """Figures that the customer list is sorted by. Each customer has one row, created with the customer.

    `month` is the month of `usage_quantity`, and None before the first count. `meter_id` is the meter that the
    customer's plan charges first, and None if it charges for no usage or there is no plan.
    """

    __tablename__ = "customer_figures"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id"], ["customer.customer_id"]),
        first_of_month_check("month"),
        Index("ix_customer_figures_usage", "usage_quantity", "customer_id"),
        Index("ix_customer_figures_outstanding", "outstanding_minor", "customer_id"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    month: date | None = Field(default=None, sa_column=day_column(nullable=True))
    meter_id: int | None = Field(default=None, sa_column=Column(SmallInteger, nullable=True))
    usage_quantity: Decimal = Field(default=Decimal(0), sa_column=summed_column())
    outstanding_minor: Decimal = Field(default=Decimal(0), sa_column=minor_column())
    overdue_minor: Decimal = Field(default=Decimal(0), sa_column=minor_column())
    # The sum of the last twelve ended months.
    invoiced_minor: Decimal = Field(default=Decimal(0), sa_column=minor_column())


class DashboardFigures(SQLModel, table=True):
    """All dashboard figures as of one time. There is one row, and each computation replaces it."""

    __tablename__ = "dashboard_figures"
    __table_args__ = (CheckConstraint("figures_id = 1", name="only_one"),)

    figures_id: int = Field(default=1, sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    as_of: datetime = Field(sa_column=moment_column())
    # How long the count took. The pause before the next count is proportional to it.
    seconds: float = Field(sa_column=Column(Double, nullable=False))
    document: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
