"""`billing migrate`, `billing distribute` and `billing demo`."""

from __future__ import annotations

import typer
from rich.table import Table

from billing_app.cli.access import distribute_database, migrate_database, open_database, operator
from billing_app.cli.console import err, fail, out
from billing_app.database.session import Database
from billing_app.services.audit.log import list_audit_entries
from billing_app.services.identity.demo_accounts import DEMO_USERS
from billing_app.settings import Settings

commands = typer.Typer()


@commands.command("migrate")
def migrate_command() -> None:
    """Bring the database schema up to date, as the owner of its tables."""
    migrate_database(Settings())
    out.print("The schema is up to date.")


@commands.command("distribute")
def distribute_command() -> None:
    """Distribute usage by customer over the servers of a Citus cluster, as the owner of the tables."""
    if distribute_database(Settings()):
        out.print("Usage is distributed by customer.")
    else:
        out.print("Usage is already distributed by customer. Nothing was changed.")


@commands.command("demo")
def demo_command() -> None:
    """Load the demo into an empty database."""
    with open_database() as database:
        is_loaded = load_demo_with_status(database)
    if not is_loaded:
        fail("The database is not empty. The demo can only be loaded into an empty database.")
    print_demo_accounts()


def load_demo_with_status(database: Database) -> bool:
    """Load the demo into an empty database. Return whether it was empty."""
    from billing_app.demo import load_demo

    with err.status("Loading the demo: twelve months of a business ..."):
        return load_demo(database) is not None


def ensure_demo(database: Database) -> bool:
    """Load the demo if the database is empty. Return whether it has the demo now."""
    load_demo_with_status(database)
    actor = operator()
    with database.transaction(actor, read_only=True) as session:
        return bool(list_audit_entries(session, actor, subject="demo", limit=1).items)


def print_demo_accounts() -> None:
    """Print the email and password of every demo account."""
    table = Table("role", "email", "password", title="Demo accounts", title_justify="left")
    for user in DEMO_USERS:
        table.add_row(user.role, user.email, user.password)
    out.print(table)
