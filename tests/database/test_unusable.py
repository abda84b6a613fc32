"""An unusable database is rejected with one sentence that says why and what to do."""

from __future__ import annotations

import string
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from billing_app.cli.access import migrate_database, open_database
from billing_app.database import requirements
from billing_app.database.embedded import cluster
from billing_app.database.errors import DatabaseUnusable
from billing_app.database.provision import APPLICATION_ROLE, OWNER_ROLE, Urls, urls_of
from billing_app.database.requirements import TextRules, check_text_rules, refuse_unsuitable_text
from billing_app.database.session import Database
from billing_app.database.urls import parse_database_url, plain_url
from billing_app.domain.actor import SYSTEM
from billing_app.services.customers.customers import get_customer
from billing_app.services.usage.recording import UsageReport, record_usage
from billing_app.settings import Settings
from tests.factories import make_customer

LOWER, UPPER = string.ascii_lowercase, string.ascii_uppercase


def settings(application: str, owner: str | None = None) -> Settings:
    return Settings(DATABASE_URL=application, DATABASE_OWNER_URL=owner)  # type: ignore[call-arg]


@contextmanager
def as_superuser(server: cluster.Server, database: str = "postgres") -> Iterator[psycopg.Connection]:
    with psycopg.connect(plain_url(server.url(database, server.superuser)), autocommit=True) as connection:
        yield connection


@contextmanager
def created_database(server: cluster.Server, options: str) -> Iterator[Urls]:
    """Yield a new database with these options."""
    with as_superuser(server) as connection:
        connection.execute(f"CREATE DATABASE unusable OWNER {OWNER_ROLE} {options}")  # type: ignore[arg-type]
        try:
            yield urls_of(server, "unusable")
        finally:
            connection.execute("DROP DATABASE unusable WITH (FORCE)")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://ada@localhost/tallybook", r"starts with mysql://, but only PostgreSQL is supported\."),
        ("postgresql+asyncpg://ada@localhost/tallybook", r"starts with postgresql\+asyncpg://"),
        ("tallybook", r"is not a database URL\."),
        ("postgresql://ada@localhost:port/tallybook", r"is not a database URL\."),
        ("postgresql://localhost/tallybook", r"names no user\."),
        ("postgresql://ada:se@cret@localhost/tallybook", r"has more than one @\. Write each @ .* as %40,"),
        ("postgresql://ada@localhost", r"names no database\."),
        (
            "postgresql://ada@localhost/tallybook?pool_size=5",
            "can't be used: invalid URI query parameter: pool_size",
        ),
    ],
)
def test_malformed_url_is_refused_with_its_setting_and_an_example(url: str, problem: str) -> None:
    with pytest.raises(DatabaseUnusable, match=rf"^DATABASE_URL {problem}") as refused:
        parse_database_url(url, "DATABASE_URL")
    assert str(refused.value).endswith("Write it as postgresql://user:password@host:5432/database.")


@pytest.mark.parametrize("url", ["postgres://ada:secret@db/books", " postgresql://ada:secret@db/books\n"])
def test_url_gets_the_installed_driver(url: str) -> None:
    assert parse_database_url(url, "DATABASE_URL") == (
        "postgresql+psycopg://ada:secret@db/books?client_encoding=utf8&connect_timeout=10"
    )


def test_time_limit_for_connecting_is_kept() -> None:
    url = parse_database_url("postgresql://ada@db/books?connect_timeout=3", "DATABASE_URL")
    assert make_url(url).query["connect_timeout"] == "3"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"database": "absent"}, 'database "absent" does not exist'),
        ({"username": "absent"}, 'role "absent" does not exist'),
        ({"query": {"host": "/tmp/absent"}}, "No such file or directory"),
        ({"query": {}, "host": "db.invalid"}, "failed to resolve host 'db.invalid'"),
        ({"query": {}, "host": "127.0.0.1", "port": 1}, "Connection refused"),
    ],
)
def test_unreachable_database_is_named_once(urls: Urls, change: dict[str, Any], problem: str) -> None:
    application = make_url(urls.application).set(**change).render_as_string(hide_password=False)
    with pytest.raises(DatabaseUnusable) as refused:
        open_database(settings(application)).__enter__()
    sentence = str(refused.value)
    assert sentence.startswith("The database can't be reached: ")
    assert problem in sentence
    assert sentence.endswith(" Check DATABASE_URL.")
    assert "\n" not in sentence
    with pytest.raises(DatabaseUnusable, match=r"Check DATABASE_OWNER_URL\.$"):
        migrate_database(settings(urls.application, application))


def test_wrong_password_is_named(urls: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    error = psycopg.OperationalError(
        'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
        'FATAL:  password authentication failed for user "ada"'
    )
    monkeypatch.setattr(
        "billing_app.cli.access.refuse_unsuitable_database", lambda connection: (_ for _ in ()).throw(error)
    )
    with pytest.raises(
        DatabaseUnusable, match=r'authentication failed for user "ada"\. Check DATABASE_URL\.$'
    ):
        open_database(settings(urls.application)).__enter__()


def test_schema_of_a_newer_version_is_refused_by_every_command(urls: Urls, owner: psycopg.Connection) -> None:
    owner.execute("UPDATE alembic_version SET version_num = '2027_01_01_later'")
    with_owner = settings(urls.application, urls.owner)
    for command in (lambda: open_database(with_owner).__enter__(), lambda: migrate_database(with_owner)):
        with pytest.raises(
            DatabaseUnusable, match=r"schema is newer than this version of Tallybook.* Run the version"
        ):
            command()
    assert owner.execute("SELECT version_num FROM alembic_version").fetchone() == ("2027_01_01_later",)


def test_owner_without_the_right_to_create_tables_is_told_what_to_do(server: cluster.Server) -> None:
    with created_database(server, "") as urls, as_superuser(server, "unusable") as connection:
        connection.execute("ALTER DATABASE unusable OWNER TO CURRENT_USER")
        connection.execute("CREATE EXTENSION pg_trgm")
        sentence = (
            r"^The role of DATABASE_OWNER_URL lacks a privilege: permission denied for schema public\. Run"
        )
        with pytest.raises(DatabaseUnusable, match=sentence):
            migrate_database(settings(urls.application, urls.owner))


def test_application_role_without_its_privileges_is_told_what_to_do(
    urls: Urls, owner: psycopg.Connection
) -> None:
    owner.execute(f"REVOKE ALL ON alembic_version FROM {APPLICATION_ROLE}")  # type: ignore[arg-type]
    with pytest.raises(
        DatabaseUnusable, match=r"^The role of DATABASE_URL lacks a privilege.* Run `billing migrate`"
    ):
        open_database(settings(urls.application)).__enter__()


@pytest.mark.parametrize(
    ("revoked", "missing"),
    [
        ("ALL ON customer", r"The role of DATABASE_URL lacks a privilege: SELECT on customer and 6 others\."),
        ("INSERT ON usage_event", r"The role of DATABASE_URL lacks a privilege: INSERT on usage_event\."),
        ("UPDATE (archived_at) ON plan", r"The role of DATABASE_URL lacks a privilege: UPDATE on plan\."),
        # A role that sees no tables can't tell that they exist.
        ("USAGE ON SCHEMA public", r"The database's schema is older than this version of Tallybook\."),
    ],
)
def test_missing_privilege_is_named_and_migrating_grants_it(
    urls: Urls, owner: psycopg.Connection, revoked: str, missing: str
) -> None:
    owner.execute(f"REVOKE {revoked} FROM {APPLICATION_ROLE}, PUBLIC")  # type: ignore[arg-type]
    with pytest.raises(DatabaseUnusable, match=f"^{missing} Run `billing migrate`"):
        open_database(settings(urls.application)).__enter__()
    migrate_database(settings(urls.application, urls.owner))
    with open_database(settings(urls.application)):
        pass


def test_statement_timeout_of_the_role_is_named(urls: Urls) -> None:
    owner = make_url(urls.owner).update_query_dict({"options": "-c statement_timeout=1"})
    with pytest.raises(
        DatabaseUnusable, match=r"^The database canceled a statement.* for the role of DATABASE_OWNER_URL"
    ):
        migrate_database(settings(urls.application, owner.render_as_string(hide_password=False)))


def test_application_role_that_does_not_exist_is_named_by_migrate(server: cluster.Server) -> None:
    with created_database(server, "") as urls:
        application = urls.application.replace(APPLICATION_ROLE, "absent")
        with pytest.raises(DatabaseUnusable, match=r'role "absent" does not exist\. Create it'):
            migrate_database(settings(application, urls.owner))


def test_postgresql_that_is_too_old_is_refused(urls: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only one version is installed, so the requirement is raised above it.
    monkeypatch.setattr(requirements, "OLDEST_POSTGRESQL", 99)
    with_owner = settings(urls.application, urls.owner)
    for command in (lambda: open_database(with_owner).__enter__(), lambda: migrate_database(with_owner)):
        with pytest.raises(
            DatabaseUnusable,
            match=r"runs PostgreSQL 18\.\d+, but Tallybook needs PostgreSQL 99 or later\. Upgrade",
        ):
            command()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_database_that_cannot_store_every_name_is_refused(server: cluster.Server, encoding: str) -> None:
    options = f"TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'"
    with created_database(server, options) as urls:
        for command in (
            lambda: open_database(settings(urls.application, urls.owner)).__enter__(),
            lambda: migrate_database(settings(urls.application, urls.owner)),
        ):
            with pytest.raises(
                DatabaseUnusable, match=rf"encoding is {encoding}.* CREATE DATABASE tallybook"
            ):
                command()


@pytest.mark.parametrize(
    ("lowered", "uppered"),
    [
        (LOWER.replace("i", "ı"), UPPER.replace("I", "İ")),
        (LOWER.replace("i", "ı"), UPPER),
        (LOWER, UPPER.replace("I", "İ")),
    ],
)
def test_locale_with_its_own_rule_for_the_letter_i_is_refused(lowered: str, uppered: str) -> None:
    with pytest.raises(DatabaseUnusable, match=r"locale has its own rule.* BUILTIN_LOCALE 'C.UTF-8'"):
        check_text_rules(TextRules("UTF8", lowered, uppered))


@pytest.mark.parametrize(
    ("function", "of_the_letter"),
    [("lower", ("I", "\u0131")), ("upper", ("i", "\u0130"))],
    ids=["lower", "upper"],
)
def test_database_that_changes_the_letter_i_as_turkish_does_is_refused(
    server: cluster.Server, function: str, of_the_letter: tuple[str, str]
) -> None:
    """No Turkish locale may be installed, so the database gets a function that does the same."""
    letter, changed = of_the_letter
    with created_database(server, "") as urls, as_superuser(server, "unusable") as connection:
        connection.execute(
            f"CREATE FUNCTION public.{function}(text) RETURNS text LANGUAGE sql IMMUTABLE"  # type: ignore[arg-type]
            f" RETURN replace(pg_catalog.{function}(replace($1, '{letter}', '\u00b7')), '\u00b7', '{changed}')"
        )
        own_first = make_url(urls.owner).update_query_dict({"options": "-c search_path=public,pg_catalog"})
        engine = create_engine(own_first, poolclass=NullPool)
        with (
            engine.connect() as turkish,
            pytest.raises(DatabaseUnusable, match=r"as Turkish does for the letter I"),
        ):
            refuse_unsuitable_text(turkish)


def test_key_is_found_whatever_its_case(database: Database) -> None:
    """The keys hold every ASCII letter, so that a rule for one of them can't hide a customer."""
    customer = make_customer(database, key=f"{UPPER}-{LOWER}")
    for key in (customer.key, customer.key.lower(), customer.key.upper()):
        with database.transaction(SYSTEM) as session:
            assert get_customer(session, SYSTEM, key).customer_id == customer.customer_id
            report = UsageReport(key, f"of {key}", 1, None)
            assert record_usage(session, SYSTEM, report).event.customer_key == customer.key


def test_recommended_database_is_accepted(server: cluster.Server) -> None:
    options = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
    with created_database(server, options) as urls:
        migrate_database(settings(urls.application, urls.owner))
        with open_database(settings(urls.application)) as database:
            assert database.engine.url.database == "unusable"
