"""What those are called who did something: rows keep their ids."""

from __future__ import annotations

from collections.abc import Iterable

from sqlmodel import Session, col, select

from billing_app.domain.actor import Actor, Permission
from billing_app.models import ApiToken, UserAccount
from billing_app.services.access import require
from billing_app.services.ids import find_number, public_id


def names_of(session: Session, actor: Actor, ids: Iterable[str]) -> dict[str, str]:
    """The names of the users and API tokens among these actors' ids; the others have none."""
    require(actor, Permission.READ)
    wanted = set(ids)
    names: dict[str, str] = {}
    users = [number for each in wanted if (number := find_number("usr", each))]
    if users:
        found = session.exec(
            select(UserAccount.user_id, UserAccount.name).where(col(UserAccount.user_id).in_(users))
        )
        names |= {public_id("usr", number or 0): name for number, name in found}
    tokens = [number for each in wanted if (number := find_number("tok", each))]
    if tokens:
        made = session.exec(
            select(ApiToken.token_id, ApiToken.name).where(col(ApiToken.token_id).in_(tokens))
        )
        names |= {public_id("tok", number or 0): name for number, name in made}
    return names
