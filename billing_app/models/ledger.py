"""The audit log, invoice runs and verifications."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from billing_app.models.columns import (
    day_column,
    first_of_month_check,
    identity_column,
    moment_column,
    text_column,
)


class AuditEntry(SQLModel, table=True):
    """An audit log entry: actor, action, subject and time. Append-only, committed with the change it describes."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_subject", "subject", "at", "audit_id"),
        Index("ix_audit_entry_responsible", text("coalesce(on_behalf_of, actor_id)"), "at", "audit_id"),
        Index("ix_audit_entry_at", "at", "audit_id"),
    )

    audit_id: int | None = Field(default=None, sa_column=identity_column())
    at: datetime = Field(sa_column=moment_column())
    actor_id: str = Field(sa_column=text_column())
    actor_name: str = Field(sa_column=text_column())
    # The actor who started background work; empty when the actor acted directly.
    on_behalf_of: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    action: str = Field(sa_column=text_column())
    subject: str = Field(sa_column=text_column())
    details: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class InvoiceRun(SQLModel, table=True):
    """A run that generates a month's invoices for all customers, with its progress and outcome."""

    __tablename__ = "invoice_run"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'done', 'cancelled', 'failed')", name="status_known"),
        CheckConstraint("(status = 'failed') = (fault IS NOT NULL)", name="fault_when_failed"),
        CheckConstraint("(status = 'running') = (finished_at IS NULL)", name="finished_when_ended"),
        first_of_month_check("period_start"),
        # One running run per month. Starting another returns it.
        Index(
            "uq_invoice_run_running",
            "period_start",
            unique=True,
            postgresql_where=text("status = 'running'"),
        ),
    )

    run_id: int | None = Field(default=None, sa_column=identity_column())
    period_start: date = Field(sa_column=day_column())
    status: str = Field(default="running", sa_column=text_column())
    started_by: str = Field(sa_column=text_column())
    started_at: datetime = Field(sa_column=moment_column())
    finished_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))
    # The last customer that is processed, for each lane (see services.invoices.run_progress).
    done_through_customer_ids: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False))
    total: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    created: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    existing: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    skipped: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    failed: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    # Failures since the run last made progress. After too many, the run fails and `fault` says why.
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    fault: dict[str, Any] | None = Field(
        default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True)
    )


class InvoiceRunFailure(SQLModel, table=True):
    """A customer that a run could not invoice, and why."""

    __tablename__ = "invoice_run_failure"
    __table_args__ = (ForeignKeyConstraint(["run_id"], ["invoice_run.run_id"]),)

    run_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    customer_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    reason: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class Verification(SQLModel, table=True):
    """A verification: running with its counts so far, done with its report, or failed with its fault."""

    __tablename__ = "verification"
    __table_args__ = (
        CheckConstraint("(finished_at IS NULL) = (ok IS NULL AND fault IS NULL)", name="judged_when_ended"),
        CheckConstraint(
            "finished_at IS NULL OR report IS NOT NULL OR fault IS NOT NULL", name="reported_when_ended"
        ),
        CheckConstraint("fault IS NULL OR ok IS NULL", name="fault_when_ended"),
        # One running verification. Starting another returns it.
        Index(
            "uq_verification_running",
            text("(finished_at IS NULL)"),
            unique=True,
            postgresql_where=text("finished_at IS NULL"),
        ),
    )

    verification_id: int | None = Field(default=None, sa_column=identity_column())
    started_by: str = Field(sa_column=text_column())
    started_at: datetime = Field(sa_column=moment_column())
    finished_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))
    ok: bool | None = Field(default=None, sa_column=Column(Boolean, nullable=True))
    report: dict[str, Any] | None = Field(
        default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True)
    )
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    fault: dict[str, Any] | None = Field(
        default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True)
    )
