"""Ids of whoever did something, as names."""

from __future__ import annotations

from billing_app.db import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.actor_names import names_of
from billing_app.services.api_tokens import create_token
from tests.factories import actor_of, make_user


def test_users_and_tokens_have_names_and_the_others_their_ids(database: Database) -> None:
    ada, finn = make_user(database, name="Ada"), make_user(database, name="Finn")
    with database.transaction(actor_of(ada)) as session:
        token = create_token(session, actor_of(ada), name="Meter", scopes=["read"]).row
        found = names_of(
            session, SYSTEM, [ada.public_id, token.public_id, "usr_999999", "system", "cli:ada", ""]
        )
    assert found == {ada.public_id: "Ada", token.public_id: "Meter"}
    assert finn.public_id not in found
