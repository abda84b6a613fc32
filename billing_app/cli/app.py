"""The `billing` command: its groups of commands, and printing known failures."""

from __future__ import annotations

import signal
import sys

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from billing_app.cli import backup, database, invoices, serve, usage, users
from billing_app.cli.console import fail
from billing_app.database.errors import DatabaseUnusable
from billing_app.errors import BillingError
from billing_app.server.garbage import freeze_loaded_objects
from billing_app.telemetry.logs import configure_logging
from billing_app.wording.refusals import refusal_sentence

app = typer.Typer(
    help="Tallybook turns metered usage into invoices.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for group in (serve, database, backup, usage, invoices):
    app.add_typer(group.commands)
app.add_typer(users.commands, name="user", help="Manage the users who can sign in.")


def main() -> None:
    """Run the command line; a known failure is one line on standard error and exit code 1."""
    # A termination signal unwinds the stack too, so that the embedded database is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    freeze_loaded_objects()
    configure_logging("warning")
    try:
        app()
    except BillingError as error:
        fail(f"{refusal_sentence(error)} [{error.code}]")
    except ValidationError as error:
        fail("; ".join(_setting_sentence(each) for each in error.errors()))
    except (DatabaseUnusable, PermissionError, RuntimeError) as error:
        fail(str(error))


def _setting_sentence(error: ErrorDetails) -> str:
    problem = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return problem
    # A field without an alias is set by a variable of its name, with the prefix of all settings.
    field = str(error["loc"][0])
    setting = field if field.isupper() else f"BILLING_{field.upper()}"
    return problem if problem.startswith(setting) else f"{setting}: {problem}"
