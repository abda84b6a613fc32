"""Rows of people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoAccount:
    """An account of the demo, shown on the sign-in page of a demo and nowhere else."""

    label: str = ""
    email: str = ""
    password: str = ""
    may: str = ""


@dataclass(frozen=True)
class PersonItem:
    """Somebody who may sign in. `status` is `invited` until their own password is chosen."""

    user_id: int = 0
    name: str = ""
    email: str = ""
    role: str = ""
    status: str = ""
    signed_in: str = ""
    signed_in_utc: str = ""
    is_self: bool = False
    is_disabled: bool = False
