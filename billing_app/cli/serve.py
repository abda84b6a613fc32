"""`billing serve`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from billing_app.cli.access import open_database, operator
from billing_app.cli.console import err, out
from billing_app.cli.database import ensure_demo, print_demo_accounts
from billing_app.database.session import Database
from billing_app.project_files import IS_WHEEL
from billing_app.services.identity.users import create_first_admin
from billing_app.settings import Settings
from billing_app.telemetry.logs import configure_logging

commands = typer.Typer()


@commands.command("serve")
def serve_command(
    dev: Annotated[bool, typer.Option("--dev", help="Reload when the code is edited.")] = False,
    api_only: Annotated[
        bool,
        typer.Option("--api-only", help="Serve the API without the pages. Any number can share a database."),
    ] = False,
) -> None:
    """Serve the pages and the API until Ctrl-C."""
    if dev and api_only:
        raise typer.BadParameter("--dev and --api-only can't be combined.")
    if dev and IS_WHEEL:
        raise typer.BadParameter("--dev needs a checkout of the sources.")
    # Loading the server takes half a second, which no other command should wait for.
    from billing_app.server import serving

    settings = Settings()
    configure_logging(settings.log_level)
    if api_only:
        settings.require_shared_secret()
    with open_database(settings) as database:
        _create_first_admin(settings, database)
        if settings.demo and not ensure_demo(database):
            err.print("The database is not empty, so the demo and its accounts were not loaded.")
            settings = settings.model_copy(update={"demo": False})

        def announce() -> None:
            name = "Tallybook's API" if api_only else "Tallybook"
            out.print(f"\n{name} is at [bold]{escape(settings.url())}[/bold]   (Ctrl-C stops it)")
            if settings.demo:
                print_demo_accounts()

        serve = serving.serve_dev if dev else serving.serve_api if api_only else serving.serve
        serve(settings, database.url, announce)


def _create_first_admin(settings: Settings, database: Database) -> None:
    email, password = settings.admin_email, settings.admin_password
    if email and password:
        actor = operator()
        with database.transaction(actor) as session:
            create_first_admin(session, actor, email, password.get_secret_value())
