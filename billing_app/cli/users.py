"""`billing user`: the accounts that can sign in."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from billing_app.cli.access import open_database, operator
from billing_app.cli.console import AsJson, out
from billing_app.domain.actor import Role
from billing_app.services.identity.users import create_user, get_user_by_email, unlock_user

commands = typer.Typer(no_args_is_help=True)


@commands.command("add")
def add_command(
    email: str,
    name: Annotated[str, typer.Option(help="The user's name.")],
    role: Annotated[Role, typer.Option(help="The user's role, which decides what they can do.")],
    as_json: AsJson = False,
) -> None:
    """Add a user and print a one-time password, which must be changed at the first sign-in."""
    actor = operator()
    with open_database() as database, database.transaction(actor) as session:
        created = create_user(session, actor, email=email, name=name, role=role)
    if as_json:
        facts = {
            "id": created.user.public_id,
            "email": created.user.email,
            "one_time_password": created.one_time_password,
        }
        print(json.dumps(facts))
    else:
        out.print(f"User {created.user.email} ({role}) added. One-time password: {created.one_time_password}")


@commands.command("unlock")
def unlock_command(email: str, as_json: AsJson = False) -> None:
    """Unlock a user who is locked out after failed sign-ins."""
    actor = operator()
    with open_database() as database, database.transaction(actor) as session:
        user = get_user_by_email(session, actor, email)
        unlock_user(session, actor, user.user_id)
    was_locked = user.locked_until is not None
    if as_json:
        print(json.dumps({"id": user.public_id, "email": user.email, "was_locked": was_locked}))
    else:
        out.print(f"User {user.email} {'unlocked' if was_locked else 'is not locked'}.", markup=False)
