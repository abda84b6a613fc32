"""The permission check that every guarded service makes first."""

from __future__ import annotations

from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Forbidden


def require(actor: Actor, permission: Permission) -> None:
    """Check that the actor has the permission. Raises Forbidden."""
    if not actor.may(permission):
        if actor.role:
            raise Forbidden(reason="no_permission", permission=str(permission), role=actor.role.value)
        raise Forbidden(reason="no_permission", permission=str(permission), token=actor.name)
