"""The users who closed the getting started guide."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint
from sqlmodel import Field, SQLModel

from billing_app.models.columns import moment_column


class GettingStartedDismissal(SQLModel, table=True):
    """A user who closed the guide. It stays visible to other users."""

    __tablename__ = "getting_started_dismissal"
    __table_args__ = (ForeignKeyConstraint(["user_id"], ["user_account.user_id"]),)

    user_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    dismissed_at: datetime = Field(sa_column=moment_column())
