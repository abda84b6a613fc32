"""Bringing a database's schema up to date, and comparing it with what this code expects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url

from billing_app.database.errors import DatabaseUnusable
from billing_app.database.provision import Urls, provide_database
from billing_app.project_files import ROOT
from billing_app.settings import Settings

# How long a migration waits for each lock.
LOCK_SECONDS_MAX = 10
_ALEMBIC = ROOT / "alembic.ini"


class SchemaState(StrEnum):
    """How a database's schema compares with the newest revision that this code has."""

    CURRENT = "ok"
    BEHIND = "behind"
    UNKNOWN_REVISION = "ahead"


@dataclass(frozen=True, slots=True)
class Target:
    """What is migrated: the database as its owner, and the role that the application connects as."""

    owner_url: str
    application_role: str


def migrate(urls: Urls, revision: str = "head") -> None:
    """Upgrade to `revision` as the owner, and give the application's role its privileges.

    Raises:
        DatabaseUnusable: The server lacks something that a migration needs, or another session held a lock
            for too long. Nothing was changed.
    """
    try:
        command.upgrade(alembic_config(urls), revision)
    except RuntimeError as error:
        raise DatabaseUnusable(str(error)) from error


def alembic_config(urls: Urls) -> Config:
    """Return an alembic configuration that is bound to these URLs and not to the environment."""
    config = Config(_ALEMBIC)
    role = make_url(urls.application).username
    config.attributes["target"] = Target(urls.owner, role or "")
    return config


@contextmanager
def provide_target(config: Config) -> Iterator[Target]:
    """Yield the target that `config` is bound to, or else the one in the settings."""
    bound = config.attributes.get("target")
    if bound:
        yield bound
        return
    with provide_database(Settings()) as urls:
        yield alembic_config(urls).attributes["target"]


class _Revisions(NamedTuple):
    """The revisions that this code has, and the newest of them."""

    known: frozenset[str]
    newest: str


@cache
def _own_revisions() -> _Revisions:
    """Read the migrations once: they don't change while the process runs, and health is asked often."""
    scripts = ScriptDirectory.from_config(Config(_ALEMBIC))
    newest = scripts.get_current_head()
    assert newest is not None
    return _Revisions(frozenset(script.revision for script in scripts.walk_revisions()), newest)


def newest_revision() -> str:
    """Return the revision of the schema that this code expects."""
    return _own_revisions().newest


def schema_state(connection: Connection) -> SchemaState:
    """Compare the database's revision with the revisions that this code has."""
    own = _own_revisions()
    revisions = set(MigrationContext.configure(connection).get_current_heads())
    if not revisions <= own.known:
        return SchemaState.UNKNOWN_REVISION
    return SchemaState.CURRENT if revisions == {own.newest} else SchemaState.BEHIND


def refuse_unknown_revision(connection: Connection) -> None:
    """Raise an error if a newer version migrated the database, or if it belongs to another application.

    Raises:
        DatabaseUnusable: Its revision is not one of this code's.
    """
    if schema_state(connection) is SchemaState.UNKNOWN_REVISION:
        raise DatabaseUnusable(
            "The database's schema is newer than this version of Tallybook, or belongs to another "
            "application. Run the version that migrated it, or set DATABASE_URL to another database."
        )
