"""Rows of customers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CustomerItem:
    """A row of the list of customers."""

    href: str = ""
    name: str = ""
    email: str = ""
    key: str = ""
    plan: str = ""
    status: str = ""
    outstanding: str = ""
    owes: bool = False


@dataclass(frozen=True)
class CustomerHeader:
    """Who a customer is."""

    name: str = ""
    key: str = ""
    email: str = ""
    address: str = ""
    plan: str = ""
    status: str = ""
    currency: str = ""
    since: str = ""
    outstanding: str = ""
    owes: bool = False
