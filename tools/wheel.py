"""Build the wheel, with the migrations and the built pages inside, into `dist`.

    .venv/bin/python tools/wheel.py [DIRECTORY]

The same sources give the same bytes, so anyone can check a published wheel. `constraints.txt` beside
it lists the versions that the tests ran with.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from wheel_contents import PAGES

from billing_app.project_files import ROOT
from billing_app.server.page_build import ensure_built

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)([^\\]*)", re.MULTILINE)


def main(directory: Path) -> None:
    """Build the pages if they are not built, then the wheel, and print its path."""
    pages = ensure_built(print).path
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory.resolve())]
    # Hatchling gives all files one date of its own, unless this variable names another.
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    subprocess.run(command, cwd=ROOT, env={**environment, PAGES: str(pages)}, check=True)
    (directory / "constraints.txt").write_text(_constraints())


def _constraints() -> str:
    """Return the locked versions without their hashes, which pip accepts for a local wheel."""
    lock = (ROOT / "requirements.lock").read_text()
    return "".join(f"{name}=={version}{marker.rstrip()}\n" for name, version, marker in _PINNED.findall(lock))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))
