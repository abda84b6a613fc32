"""Bringing a database's schema up to date, and telling whether it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url

from billing_app.database.provision import Urls, provisioned
from billing_app.settings import Settings

_PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Target:
    """What is migrated: the database as its owner, for the role the application works as."""

    owner_url: str
    application_role: str


def migrate(urls: Urls, revision: str = "head") -> None:
    """Upgrades to `revision` as the owner; the application's role gets its privileges."""
    command.upgrade(alembic_config(urls), revision)


def alembic_config(urls: Urls) -> Config:
    """An alembic configuration that is bound to these URLs and not to the environment."""
    config = Config(_PROJECT / "alembic.ini")
    role = make_url(urls.application).username
    config.attributes["target"] = Target(urls.owner, role or "")
    return config


@contextmanager
def target_of(config: Config) -> Iterator[Target]:
    """The target that `config` is bound to, else the one that the settings name."""
    bound = config.attributes.get("target")
    if bound:
        yield bound
        return
    with provisioned(Settings()) as urls:
        yield alembic_config(urls).attributes["target"]


def is_current(connection: Connection) -> bool:
    """Whether the database is at the newest revision that this code has."""
    heads = ScriptDirectory.from_config(Config(_PROJECT / "alembic.ini")).get_heads()
    return set(MigrationContext.configure(connection).get_current_heads()) == set(heads)
