"""Price simulations and what each customer would have paid."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from billing_app.models.columns import (
    customer_key_column,
    day_column,
    first_of_month_check,
    identity_column,
    minor_column,
    moment_column,
    text_column,
)


class Simulation(SQLModel, table=True):
    """A month under other terms, with its progress and the totals so far. Removed some days after its end."""

    __tablename__ = "simulation"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'done', 'failed')", name="status_known"),
        CheckConstraint("(status = 'failed') = (fault IS NOT NULL)", name="fault_when_failed"),
        CheckConstraint("(status = 'running') = (finished_at IS NULL)", name="finished_when_ended"),
        first_of_month_check("period_start"),
        # One running simulation. Starting the same one again returns it.
        Index("uq_simulation_running", "status", unique=True, postgresql_where=text("status = 'running'")),
        Index("ix_simulation_finished_at", "finished_at"),
    )

    simulation_id: int | None = Field(default=None, sa_column=identity_column())
    period_start: date = Field(sa_column=day_column())
    currency: str = Field(sa_column=text_column())
    # The customers and the terms, as services.simulations.requests writes them.
    request: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    status: str = Field(default="running", sa_column=text_column())
    started_by: str = Field(sa_column=text_column())
    started_at: datetime = Field(sa_column=moment_column())
    finished_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))
    # The last customer that is processed, for each lane (see services.simulations.progress).
    done_through_customer_ids: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False))
    total: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    simulated: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    other_currency: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    no_plan: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    before_minor: Decimal = Field(default=Decimal(0), sa_column=minor_column())
    after_minor: Decimal = Field(default=Decimal(0), sa_column=minor_column())
    # Failures since the simulation last made progress. After too many, it fails and `fault` says why.
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    fault: dict[str, Any] | None = Field(
        default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True)
    )


class SimulatedCustomer(SQLModel, table=True):
    """What a simulated month costs one customer, and what it would have cost."""

    __tablename__ = "simulated_customer"
    __table_args__ = (
        ForeignKeyConstraint(["simulation_id"], ["simulation.simulation_id"]),
        CheckConstraint("difference_minor = after_minor - before_minor", name="difference"),
        # Pages through a simulation by difference, and removes it.
        Index("ix_simulated_customer_difference", "simulation_id", "difference_minor", "customer_id"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    simulation_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    before_minor: Decimal = Field(sa_column=minor_column())
    after_minor: Decimal = Field(sa_column=minor_column())
    difference_minor: Decimal = Field(sa_column=minor_column())
