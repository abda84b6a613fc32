"""Several processes share one server, which runs until the last of them leaves."""

import os
import signal
from pathlib import Path

import pytest

from billing_app.database.embedded.cluster import use_server
from tests.embedded.processes import (
    Users,
    asks_the_server,
    connect,
    has_open,
    postmasters,
    started_at,
    wait_until,
)


def test_server_runs_while_it_is_used(data_dir: Path) -> None:
    with use_server(data_dir) as entered:
        assert started_at(entered)
        assert len(postmasters(data_dir)) == 1
    assert not postmasters(data_dir)


def test_data_is_kept_between_starts(data_dir: Path) -> None:
    with use_server(data_dir) as entered, connect(entered) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    with use_server(data_dir) as entered, connect(entered) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)


def test_another_process_joins_and_the_last_to_leave_stops_the_server(data_dir: Path, users: Users) -> None:
    with use_server(data_dir) as entered:
        other = users(data_dir)
        assert other.says() == f"in {started_at(entered)}"
    assert postmasters(data_dir)
    assert other.leave() == 0
    assert not postmasters(data_dir)


def test_one_process_can_use_the_server_twice(data_dir: Path) -> None:
    with use_server(data_dir) as outer:
        with use_server(data_dir) as inner:
            assert started_at(inner) == started_at(outer)
        assert started_at(outer)
    assert not postmasters(data_dir)


def test_four_first_users_at_once_share_one_server(data_dir: Path, users: Users) -> None:
    four = [users(data_dir) for _ in range(4)]
    assert len({user.says() for user in four} - {""}) == 1
    assert len(postmasters(data_dir)) == 1
    assert [user.leave() for user in four] == [0, 0, 0, 0]
    assert not postmasters(data_dir)


def test_new_user_waits_while_the_last_user_stops_the_server(data_dir: Path, users: Users) -> None:
    leaving = users(data_dir)
    before = leaving.says()
    (postmaster,) = postmasters(data_dir)
    postmaster.suspend()  # the test controls how long leaving takes
    leaving.process.stdin.close()
    wait_until(lambda: asks_the_server(leaving))
    coming = users(data_dir)
    wait_until(lambda: has_open(coming, data_dir / "users.lock"))
    # Enough time to join a server that is about to be stopped, if nothing prevented that.
    wait_until(lambda: not asks_the_server(leaving))
    wait_until(lambda: asks_the_server(leaving))
    postmaster.resume()
    assert leaving.leave() == 0
    now = coming.says()
    assert now.startswith("in ")
    assert now != before
    assert coming.leave() == 0
    assert not postmasters(data_dir)


def test_killed_user_does_not_keep_the_server_running(data_dir: Path, users: Users) -> None:
    killed = users(data_dir)
    first = killed.says()
    killed.kill()
    assert postmasters(data_dir)
    with use_server(data_dir) as entered:
        assert first == f"in {started_at(entered)}"
    assert not postmasters(data_dir)


def test_forked_child_does_not_stop_the_server(data_dir: Path, users: Users) -> None:
    parent = users(data_dir, "--fork")
    assert parent.says().startswith("in ")
    assert postmasters(data_dir)
    parent.leave()
    assert not postmasters(data_dir)


def test_ctrl_c_reaches_the_user_and_not_the_server(data_dir: Path, users: Users) -> None:
    user = users(data_dir)
    server_started = user.says().removeprefix("in ")
    (postmaster,) = postmasters(data_dir)
    assert os.getsid(postmaster.pid) != os.getsid(user.process.pid)
    os.killpg(user.process.pid, signal.SIGINT)
    assert user.says() == f"interrupted {server_started}"
    assert user.leave() == 0
    assert not postmasters(data_dir)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_next_user_to_leave_stops_the_server_after_a_user_was_killed(
    data_dir: Path, users: Users, sign: signal.Signals
) -> None:
    user = users(data_dir)
    assert user.says()
    user.process.send_signal(sign)
    user.process.wait()
    with use_server(data_dir):
        assert len(postmasters(data_dir)) == 1
    assert not postmasters(data_dir)
