"""After a crash no row is lost, and exactly one server starts."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from billing_app.database.embedded.accounts import EmbeddedPostgresError, server_account
from billing_app.database.embedded.cluster import Server, use_server
from billing_app.database.embedded.programs import runnable_programs
from tests.embedded.processes import (
    Users,
    asks_the_server,
    connect,
    crash,
    kill,
    postmasters,
    server_processes,
    started_at,
    wait_until,
)


def as_server_account() -> dict[str, object]:
    """Return arguments for subprocess that run a program as the server's account."""
    account = server_account()
    return {"user": account.user, "group": account.group, "cwd": "/"} if os.geteuid() == 0 else {}


@contextmanager
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Run an unrelated process as the server's account."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True, **as_server_account())
    yield process
    process.kill()
    process.wait()


def take_over(lock_file: Path, pid: int) -> None:
    """Make a lock file name another process, as if its process ID had been reused."""
    _, rest = lock_file.read_text().split("\n", 1)
    lock_file.write_text(f"{pid}\n{rest}")


def test_commit_waits_for_the_disk(data_dir: Path) -> None:
    # The server of other tests does not, because they would take three times as long.
    with use_server(data_dir) as server, connect(server) as connection:
        query = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
        names = ["fsync", "full_page_writes", "synchronous_commit"]
        assert dict(connection.execute(query, [names]).fetchall()) == dict.fromkeys(names, "on")


def named(data_dir: Path, title: str) -> psutil.Process:
    """Wait for the server process with this in its title, and return it."""

    def find() -> psutil.Process | None:
        for process in server_processes(data_dir):
            with suppress(psutil.NoSuchProcess):
                if title in " ".join(process.cmdline()):
                    return process
        return None

    return wait_until(find)


@pytest.mark.usefixtures("unwatched")
def test_every_acknowledged_row_survives_kill_9(data_dir: Path) -> None:
    acknowledged: list[int] = []

    def write(to: Server) -> None:
        with suppress(psycopg.OperationalError), connect(to) as connection:
            while True:
                row = connection.execute("INSERT INTO event DEFAULT VALUES RETURNING id").fetchone()
                acknowledged.append(row[0])

    with use_server(data_dir) as entered:
        with connect(entered) as connection:
            connection.execute("CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY)")
        writers = [threading.Thread(target=write, args=[entered]) for _ in range(4)]
        for writer in writers:
            writer.start()
        wait_until(lambda: len(acknowledged) > 500)
        crash(data_dir)
        for writer in writers:
            writer.join()
    with use_server(data_dir) as entered, connect(entered) as connection:
        there = {row[0] for row in connection.execute("SELECT id FROM event")}
    assert set(acknowledged) <= there
    assert len(there) <= len(acknowledged) + len(writers)


@pytest.mark.usefixtures("unwatched")
def test_next_user_starts_a_server_whose_postmaster_was_killed(data_dir: Path) -> None:
    with use_server(data_dir) as entered:
        before = started_at(entered)
        with connect(entered) as busy:
            # A process of the dead server is still alive, so no other server may start.
            kill(postmasters(data_dir)[0])
            with use_server(data_dir) as again:
                assert started_at(again) != before
                assert len(postmasters(data_dir)) == 1
                with pytest.raises(psycopg.OperationalError):
                    busy.execute("SELECT 1")
    assert not postmasters(data_dir)


@pytest.mark.parametrize("how", ["starts again", "leaves"])
@pytest.mark.usefixtures("unwatched")
def test_stranger_with_the_old_process_id_is_ignored_and_not_signalled(data_dir: Path, how: str) -> None:
    with stranger() as living:
        with use_server(data_dir) as entered:
            before = started_at(entered)
            crash(data_dir)
            take_over(data_dir / "cluster/postmaster.pid", living.pid)
            take_over(entered.socket_dir / ".s.PGSQL.5432.lock", living.pid)
            if how == "starts again":
                with use_server(data_dir) as again:
                    assert started_at(again) != before
        assert not postmasters(data_dir)
        assert living.poll() is None


def test_stranger_is_not_signalled_while_a_process_of_the_dead_server_lives(
    data_dir: Path, users: Users
) -> None:
    user = users(data_dir, "--unwatched")
    assert user.says()
    last = named(data_dir, "checkpointer")
    last.suspend()
    with stranger() as living:
        kill(postmasters(data_dir)[0])
        take_over(data_dir / "cluster/postmaster.pid", living.pid)
        user.process.stdin.close()
        for _ in range(2):  # it has checked once and checks again
            wait_until(lambda: asks_the_server(user))
            wait_until(lambda: not asks_the_server(user))
        last.resume()
        assert user.leave() == 0
        assert living.poll() is None
    assert not server_processes(data_dir)


@pytest.mark.skipif(not psutil.LINUX, reason="only Linux adopts orphans")
@pytest.mark.usefixtures("unwatched")
def test_zombie_postmaster_counts_as_dead(data_dir: Path, users: Users) -> None:
    careless_parent = users(data_dir, "--adopt-orphans", "--unwatched")
    before = careless_parent.says()
    (postmaster,) = postmasters(data_dir)
    kill(postmaster)
    wait_until(lambda: not server_processes(data_dir) and postmaster.status() == psutil.STATUS_ZOMBIE)
    with use_server(data_dir) as entered:
        assert before != f"in {started_at(entered)}"
        assert postmaster.status() == psutil.STATUS_ZOMBIE
    assert careless_parent.leave() == 0
    assert not postmasters(data_dir)


@pytest.fixture
def long_recovery(data_dir: Path, unwatched: None) -> Path:
    """Return a crashed cluster with seconds of log to replay."""
    with use_server(data_dir) as entered, connect(entered) as connection:
        connection.execute("CREATE TABLE much (id bigint, text text)")
        connection.execute("CHECKPOINT")
        connection.execute("INSERT INTO much SELECT n, repeat('x', 100) FROM generate_series(1, 2000000) n")
        crash(data_dir)
    return data_dir


def recovering(data_dir: Path) -> psutil.Process:
    """Wait for the process that replays the log, and return it."""
    return named(data_dir, "startup recovering")


def test_recovering_server_is_waited_for(long_recovery: Path, users: Users) -> None:
    starter = users(long_recovery)
    replaying = recovering(long_recovery)
    replaying.suspend()  # The test controls how long this recovery takes.
    starter.kill()
    (postmaster,) = postmasters(long_recovery)
    joiner = users(long_recovery)
    wait_until(lambda: asks_the_server(joiner))
    assert replaying.status() == psutil.STATUS_STOPPED
    replaying.resume()
    assert joiner.says().startswith("in ")
    assert postmasters(long_recovery) == [postmaster]
    assert joiner.leave() == 0
    assert not postmasters(long_recovery)


def test_interrupted_start_leaves_nothing_running(long_recovery: Path, users: Users) -> None:
    starter = users(long_recovery)
    recovering(long_recovery)
    starter.process.send_signal(signal.SIGINT)
    assert starter.says() == ""
    starter.process.wait()
    assert not server_processes(long_recovery)


def test_interrupted_first_start_leaves_nothing_unfinished(data_dir: Path, users: Users) -> None:
    starter = users(data_dir)
    unfinished = data_dir / "cluster.new"
    wait_until((unfinished / "global").exists)
    starter.process.send_signal(signal.SIGINT)
    assert starter.says() == ""
    starter.process.wait()
    assert not list(unfinished.iterdir())


def test_killed_first_start_is_repeated(data_dir: Path) -> None:
    unfinished = data_dir / "cluster.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with use_server(data_dir) as entered:
        assert started_at(entered)
    assert not unfinished.exists()


def test_no_second_server_starts_on_data_that_is_served_by_hand(data_dir: Path) -> None:
    with use_server(data_dir):
        pass
    elsewhere = data_dir.parent / "by-hand"
    elsewhere.mkdir()
    if os.geteuid() == 0:
        shutil.chown(elsewhere, *server_account())
    by_hand = [str(runnable_programs(data_dir) / "postgres"), "-D", str(data_dir / "cluster")]
    process = subprocess.Popen([*by_hand, "-h", "", "-k", str(elsewhere)], **as_server_account())
    theirs = Server(elsewhere, 5432, "postgres")
    wait_until(lambda: answers(theirs))
    with (
        pytest.raises(EmbeddedPostgresError, match=r"did not start. Its log is .*/server\.log"),
        use_server(data_dir),
    ):
        pass
    assert answers(theirs)
    process.send_signal(signal.SIGINT)
    process.wait()


def answers(server: Server) -> bool:
    with suppress(psycopg.OperationalError):
        return bool(started_at(server))
    return False


def test_server_that_cannot_start_is_reported_with_its_log(data_dir: Path) -> None:
    with use_server(data_dir):
        pass
    (data_dir / "cluster/global/pg_control").unlink()
    with pytest.raises(EmbeddedPostgresError) as raised, use_server(data_dir):
        pass
    assert f"Its log is {data_dir}/server.log" in str(raised.value)
    assert "pg_control" in str(raised.value)


def test_data_of_another_major_version_is_refused_before_it_is_touched(data_dir: Path) -> None:
    with use_server(data_dir):
        pass
    (data_dir / "cluster/PG_VERSION").write_text("17\n")
    with (
        pytest.raises(EmbeddedPostgresError, match=r"created by PostgreSQL 17.* runs PostgreSQL 18\."),
        use_server(data_dir),
    ):
        pass
    assert not (data_dir / "cluster/postmaster.pid").exists()


def test_killed_postmaster_is_started_again_and_no_acknowledged_row_is_lost(data_dir: Path) -> None:
    acknowledged: list[int] = []
    is_over = threading.Event()

    def write(to: Server) -> None:
        while not is_over.is_set():
            with suppress(psycopg.OperationalError), connect(to) as connection:
                while not is_over.is_set():
                    row = connection.execute("INSERT INTO event DEFAULT VALUES RETURNING id").fetchone()
                    acknowledged.append(row[0])

    with use_server(data_dir) as entered:
        with connect(entered) as connection:
            connection.execute("CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY)")
        # They would keep a failed test from ending.
        writers = [threading.Thread(target=write, args=[entered], daemon=True) for _ in range(4)]
        for writer in writers:
            writer.start()
        for victim in (lambda: kill(postmasters(data_dir)[0]), lambda: crash(data_dir)):
            count = len(acknowledged)
            wait_until(lambda count=count: len(acknowledged) > count + 200)
            victim()
        count = len(acknowledged)
        wait_until(lambda: len(acknowledged) > count + 200)
        is_over.set()
        for writer in writers:
            writer.join()
        with connect(entered) as connection:
            rows = [row[0] for row in connection.execute("SELECT id FROM event")]
    assert set(acknowledged) <= set(rows)
    assert not postmasters(data_dir)


def test_several_processes_start_a_killed_server_once(data_dir: Path, users: Users) -> None:
    sharing = [users(data_dir) for _ in range(3)]
    assert len({user.says() for user in sharing}) == 1
    with use_server(data_dir) as entered:
        before = started_at(entered)
        kill(postmasters(data_dir)[0])
        wait_until(lambda: answers(entered) and started_at(entered) != before)
        assert len(postmasters(data_dir)) == 1
    assert [user.leave() for user in sharing] == [0, 0, 0]
    assert not postmasters(data_dir)


def test_leaving_interrupts_a_restart(data_dir: Path, users: Users) -> None:
    with use_server(data_dir) as entered, connect(entered) as connection:
        connection.execute("CREATE TABLE much (id bigint, text text)")
        connection.execute("CHECKPOINT")
        connection.execute("INSERT INTO much SELECT n, repeat('x', 100) FROM generate_series(1, 1000000) n")
        crash(data_dir)
        recovering(data_dir)
    assert not server_processes(data_dir)
