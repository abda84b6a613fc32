"""Rows of users."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoAccount:
    """A user of the demo, shown only on the sign-in page of a demo."""

    label: str = ""
    email: str = ""
    password: str = ""
    access: str = ""


@dataclass(frozen=True)
class UserItem:
    """A user. `status` is `invited` until the user has replaced the one-time password.

    `locked_until` is empty unless sign-in is locked for some locations after failed attempts.
    """

    user_id: int = 0
    name: str = ""
    email: str = ""
    role: str = ""
    status: str = ""
    signed_in: str = ""
    signed_in_utc: str = ""
    locked_until: str = ""
    is_self: bool = False
    is_disabled: bool = False
