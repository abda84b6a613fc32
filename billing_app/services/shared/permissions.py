"""The one question every service function asks first."""

from __future__ import annotations

from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Forbidden


def require(actor: Actor, permission: Permission) -> None:
    """Raises Forbidden unless the actor has the permission."""
    if not actor.may(permission):
        who = f"The role {actor.role}" if actor.role else actor.name
        raise Forbidden(reason="no_permission", who=who, permission=str(permission))
