"""Column types that several tables use, and the names of constraints."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, DateTime, Identity, Numeric, Text
from sqlmodel import SQLModel

SQLModel.metadata.naming_convention = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


def identity_column() -> Column[int]:
    """Return a key that the database assigns. Nothing relies on its order."""
    return Column(BigInteger, Identity(always=True), primary_key=True)


def customer_key_column() -> Column[int]:
    """Return the distribution column, which is the first column of the primary key."""
    return Column(BigInteger, primary_key=True, autoincrement=False)


def text_column(nullable: bool = False, **options: Any) -> Column[str]:
    """Return a column of text."""
    return Column(Text, nullable=nullable, **options)


def moment_column(nullable: bool = False) -> Column[Any]:
    """Return a column of points in time, which are aware and in UTC."""
    return Column(DateTime(timezone=True), nullable=nullable)


def day_column(nullable: bool = False, **options: Any) -> Column[Any]:
    """Return a column of dates."""
    return Column(Date, nullable=nullable, **options)


def minor_column(nullable: bool = False) -> Column[Any]:
    """Return a column of computed amounts in whole minor units."""
    return Column(Numeric(38, 0), nullable=nullable)


def summed_column(nullable: bool = False) -> Column[Any]:
    """Return a column of summed quantities."""
    return Column(Numeric(38, 6), nullable=nullable)


def exact_column(nullable: bool = False) -> Column[Any]:
    """Return a column of unrounded amounts in major units."""
    return Column(Numeric(60, 18), nullable=nullable)


def entered_column(nullable: bool = False) -> Column[Any]:
    """Return a column of numbers that a user entered, without a scale.

    A NUMERIC(p,s) column would round a number with too many decimals before any CHECK could see it.
    `digits_check` rejects such a number instead.
    """
    return Column(Numeric, nullable=nullable)


def digits_check(column: str, integer_digits: int, decimals: int) -> CheckConstraint:
    """Check that a number is zero or more, finite, and fits these digits.

    NaN and infinity sort above every number, so the upper bound rejects both.
    """
    return CheckConstraint(
        f"{column} >= 0 AND {column} < 1e{integer_digits} AND scale({column}) <= {decimals}",
        name=f"{column}_digits",
    )


def first_of_month_check(column: str) -> CheckConstraint:
    """Check that a date is the first day of a month."""
    return CheckConstraint(f"extract(day FROM {column}) = 1", name=f"{column}_first_of_month")
