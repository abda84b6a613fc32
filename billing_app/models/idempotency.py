"""Stored responses to requests that were sent with an idempotency key."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from billing_app.models.columns import moment_column, text_column


class IdempotentRequest(SQLModel, table=True):
    """The response to an actor's first request with a key. It contains no passwords and no token secrets.

    `fingerprint` is a keyed hash of the operation and the body, so that a stored row does not help to
    guess a password that was sent. Rows are kept for at least a day.
    """

    __tablename__ = "idempotent_request"
    __table_args__ = (
        CheckConstraint("fingerprint ~ '^[0-9a-f]{64}$'", name="fingerprint_form"),
        Index("ix_idempotent_request_created_at", "created_at"),
    )

    actor_id: str = Field(sa_column=text_column(primary_key=True))
    idempotency_key: str = Field(sa_column=text_column(primary_key=True))
    operation: str = Field(sa_column=text_column())
    fingerprint: str = Field(sa_column=text_column())
    status: int = Field(sa_column=Column(SmallInteger, nullable=False))
    location: str = Field(sa_column=text_column())
    answer: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=moment_column())
