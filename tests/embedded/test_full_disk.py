"""A full disk stops the server. When there is space again, the server starts by itself."""

import os
import subprocess
import sys
from pathlib import Path

from tests.embedded.processes import ROOT

# A new mount namespace, in which this user can mount a small file system.
_NAMESPACE = ["unshare", "--mount"] + (
    [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
)


def test_server_comes_back_when_a_full_disk_has_room_again(data_dir: Path) -> None:
    command = [*_NAMESPACE, sys.executable, "-m", "tests.embedded.full_disk", str(data_dir.parent / "disk")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    acknowledged, found = map(int, done.stdout.split()[-2:])
    assert found >= acknowledged > 0
