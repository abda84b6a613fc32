"""Actors: users, API tokens and the system itself, and the permissions that each one has."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """The role of a user."""

    ADMIN = "admin"
    BILLING = "billing"
    FINANCE = "finance"


class Scope(StrEnum):
    """A scope of an API token."""

    USAGE_WRITE = "usage:write"
    USAGE_CORRECT = "usage:correct"
    READ = "read"


class Permission(StrEnum):
    """A permission that a service requires of its actor."""

    READ = "read"
    WRITE_CUSTOMERS = "write_customers"
    RECORD_USAGE = "record_usage"
    CORRECT_USAGE = "correct_usage"
    INVOICE = "invoice"
    VERIFY = "verify"
    ADMINISTER = "administer"
    IDENTITY = "identity"


_BILLING_PERMISSIONS = {
    Permission.READ,
    Permission.WRITE_CUSTOMERS,
    Permission.RECORD_USAGE,
    Permission.CORRECT_USAGE,
    Permission.INVOICE,
    Permission.VERIFY,
}
_ROLE_PERMISSIONS = {
    Role.ADMIN: _BILLING_PERMISSIONS | {Permission.ADMINISTER},
    Role.BILLING: _BILLING_PERMISSIONS,
    Role.FINANCE: {Permission.READ},
}
_SCOPE_PERMISSIONS = {
    Scope.USAGE_WRITE: {Permission.RECORD_USAGE},
    Scope.USAGE_CORRECT: {Permission.CORRECT_USAGE},
    Scope.READ: {Permission.READ},
}


@dataclass(frozen=True, slots=True)
class Actor:
    """A user with a role, an API token with scopes, or the system.

    The audit log and usage events store `id` (`usr_4`, `tok_2`, `cli:ada`, `run_5`); people see `name`.
    `on_behalf_of` is the ID of the actor who started background work.
    """

    kind: Literal["user", "token", "system"]
    id: str
    name: str
    role: Role | None = None
    scopes: frozenset[Scope] = frozenset()
    on_behalf_of: str | None = None

    def may(self, permission: Permission) -> bool:
        """Return whether the actor has the permission. The system has every permission."""
        if self.kind == "system":
            return True
        if self.kind == "user":
            return self.role is not None and permission in _ROLE_PERMISSIONS[self.role]
        return any(permission in _SCOPE_PERMISSIONS[scope] for scope in self.scopes)

    @property
    def read_only(self) -> bool:
        """Whether the actor's database transactions are READ ONLY."""
        if self.kind == "user":
            return self.role is None or self.role is Role.FINANCE
        return self.kind == "token" and self.scopes <= {Scope.READ}


def system(name: str, *, on_behalf_of: str | None = None) -> Actor:
    """Return a system actor: the product itself, a background job, or a person at the command line.

    `name` becomes the actor's ID in the audit log, such as `cli:ada` or `run_5`.
    """
    return Actor(kind="system", id=name, name=name, on_behalf_of=on_behalf_of)


SYSTEM = system("system")
