import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing_app.database.embedded.watcher import Watcher
from tests.embedded.processes import Users, kill, server_processes


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Return a directory for one cluster that `nobody` can reach, unlike pytest's own under root."""
    parent = Path(tempfile.mkdtemp(prefix="tb-"))
    parent.chmod(0o711)
    yield parent / "pg"
    remove(parent)


@pytest.fixture
def roots_data_dir() -> Iterator[Path]:
    """Return a data directory in a directory that only root can enter."""
    if os.geteuid() != 0:
        pytest.skip("only root can have a directory that its PostgreSQL can't reach")
    parent = Path(tempfile.mkdtemp(prefix="tb-"))
    yield parent / "pg"
    remove(parent)


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevent this process from restarting a crashed server, so that a test can inspect what is left."""
    monkeypatch.setattr(Watcher, "run", lambda self: None)


@pytest.fixture
def users() -> Iterator[Users]:
    """Return a function that starts processes that use a server. It kills them at the end."""
    users = Users()
    yield users
    users.kill_all()


def remove(parent: Path) -> None:
    """Remove the clusters below a directory, and kill what a failed test left running."""
    for link in parent.rglob("elsewhere"):
        remove(link.readlink())
    for process in server_processes(parent):
        kill(process)
    shutil.rmtree(parent)
