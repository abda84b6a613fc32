"""Who is asking, and what each kind of asker may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """The roles of a user."""

    ADMIN = "admin"
    BILLING = "billing"
    FINANCE = "finance"


class Scope(StrEnum):
    """The scopes of an API token."""

    USAGE_WRITE = "usage:write"
    READ = "read"


class Permission(StrEnum):
    """What a service function asks of its actor; the value completes "may not ..."."""

    READ = "read"
    WRITE_CUSTOMERS = "change customers, plans or subscriptions"
    RECORD_USAGE = "record usage"
    INVOICE = "generate invoices or record payments"
    VERIFY = "start a verification"
    ADMINISTER = "change users, tokens or the issuer"
    IDENTITY = "write sessions"


_BILLING = {
    Permission.READ,
    Permission.WRITE_CUSTOMERS,
    Permission.RECORD_USAGE,
    Permission.INVOICE,
    Permission.VERIFY,
}
_OF_ROLE = {
    Role.ADMIN: _BILLING | {Permission.ADMINISTER},
    Role.BILLING: _BILLING,
    Role.FINANCE: {Permission.READ},
}
_OF_SCOPE = {
    Scope.USAGE_WRITE: {Permission.RECORD_USAGE},
    Scope.READ: {Permission.READ},
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a user with a role, an API token with scopes, or the system.

    `id` is what the audit log and usage events keep (`usr_4`, `tok_2`, `cli:ada`, `run_5`);
    `name` is for people.
    """

    kind: Literal["user", "token", "system"]
    id: str
    name: str
    role: Role | None = None
    scopes: frozenset[Scope] = frozenset()

    def may(self, permission: Permission) -> bool:
        """Whether this actor has the permission; the system has all of them."""
        if self.kind == "system":
            return True
        if self.kind == "user":
            return self.role is not None and permission in _OF_ROLE[self.role]
        return any(permission in _OF_SCOPE[scope] for scope in self.scopes)

    @property
    def read_only(self) -> bool:
        """Whether the database itself shall refuse every write of this actor."""
        if self.kind == "user":
            return self.role is None or self.role is Role.FINANCE
        return self.kind == "token" and Scope.USAGE_WRITE not in self.scopes


def system(name: str) -> Actor:
    """The product acting by itself or for an operator; `name` says which, for the audit log."""
    return Actor(kind="system", id=name, name=name)


SYSTEM = system("system")
