"""The issuer's company details."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, SmallInteger
from sqlmodel import Field, SQLModel

from billing_app.models.columns import text_column


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
