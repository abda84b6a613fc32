"""Settings that contradict each other, and the data directory."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from billing_app.cli import access
from billing_app.settings import DataDirUnusable, SecretMissing, Settings
from tests.server.conftest import AsOtherUser

ADMIN = {"admin_email": "ada@example.com", "admin_password": "a quiet harbour at noon"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"demo": True, **ADMIN}, "The demo has an admin of its own"),
        ({"admin_email": "ada@example.com"}, "Set both BILLING_ADMIN_EMAIL and BILLING_ADMIN_PASSWORD"),
        ({"admin_password": "a quiet harbour at noon"}, "Set both BILLING_ADMIN_EMAIL and"),
        ({"demo": True, "host": "192.0.2.1"}, "works on loopback only"),
        ({"demo": True, "host": "billing.example"}, "works on loopback only"),
    ],
)
def test_contradiction_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Settings(**settings)


def test_admin_without_the_demo_is_accepted() -> None:
    assert Settings(**ADMIN).admin_email == "ada@example.com"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_demo_on_loopback_is_accepted(host: str) -> None:
    assert Settings(demo=True, host=host).demo


def test_data_directory_moves_home_when_the_working_directory_is_read_only(
    tmp_path: Path, as_other_user: AsOtherUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ada")

    def check() -> None:
        assert Settings().data_dir == Path("/home/ada/.local/share/tallybook")
        os.environ["XDG_DATA_HOME"] = "/var/lib/ada"
        assert Settings().data_dir == Path("/var/lib/ada/tallybook")

    as_other_user(check)


def test_unusable_data_directory_is_refused_with_the_setting(
    as_other_user: AsOtherUser,
) -> None:
    def check() -> None:
        for directory in ("/proc/none", "/usr"):
            with pytest.raises(DataDirUnusable, match="Set BILLING_DATA_DIR to a directory that user ID"):
                Settings(data_dir=Path(directory)).create_data_dir()

    as_other_user(check)


def test_operator_without_an_account_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert access.operator().id == f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999)
    assert access.operator().id == "cli:3999999"


def test_servers_that_share_a_database_need_the_secret_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://tallybook_app@db/tallybook")
    with pytest.raises(SecretMissing, match="BILLING_JWT_SECRET is not set"):
        Settings().require_shared_secret()
    monkeypatch.setenv("BILLING_JWT_SECRET", "s" * 32)
    Settings().require_shared_secret()


def test_servers_that_share_a_data_directory_share_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    Settings().require_shared_secret()
