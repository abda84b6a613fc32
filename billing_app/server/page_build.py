"""Building the pages, once for what they are made from, with the JavaScript runtime of a wheel."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ROOT / "build" / "pages"
WORK = ROOT / ".web"
PACKAGES = ROOT / "reflex.lock" / "package.json"

# What the compiled pages are made from. Services and tables are not among them.
SOURCES = (
    "rxconfig.py",
    "bunfig.toml",
    ".npmrc",
    "assets",
    "billing_app/billing_app.py",
    "billing_app/server/reflex_patches.py",
    "billing_app/state",
    "billing_app/ui",
)
# What a server needs of a finished build: the pages, and what tells Reflex to skip compiling.
PRODUCTS = ("build/client", "backend", "routes.json", "utils")
BUILDS_KEPT = 4


class BuildFailed(RuntimeError):
    """The pages could not be built; the message holds what the build printed."""


@dataclass(frozen=True, slots=True)
class Build:
    """A finished build. `seconds` is zero when it was already there."""

    path: Path
    seconds: float
    first_page_bytes: int
    first_page_gzip_bytes: int


def ensure_built(say: Callable[[str], None] = lambda line: None) -> Build:
    """The pages built from the sources as they are now, built only when there are none.

    A build is a directory named after the hash of what it was made from, and is renamed into
    place when complete: whoever finds it finds all of it, and a server goes on with the one
    that it started with. Several processes may call at once; one builds, the others wait.
    Raises BuildFailed.
    """
    if (done := BUILDS / sources_hash()).is_dir():
        done.touch()
        return _measured(done, 0.0)
    with _locked(BUILDS / ".lock"):
        if (done := BUILDS / sources_hash()).is_dir():
            return _measured(done, 0.0)
        say("Building the pages (once; a minute on a slow machine)")
        began = time.monotonic()
        before = sources_hash(locks=False)
        with _spelling_kept(PACKAGES):
            _run_build()
        if before != sources_hash(locks=False):
            raise BuildFailed("the sources changed while the pages were being built: start again")
        done = _put_into_place(BUILDS / sources_hash())
        build = _measured(done, time.monotonic() - began)
    say(
        f"Built in {build.seconds:.1f} s; the first page loads {build.first_page_bytes / 1e3:.0f}"
        f" kB of JavaScript, {build.first_page_gzip_bytes / 1e3:.0f} kB compressed"
    )
    return build


def sources_hash(*, locks: bool = True) -> str:
    """A name for what the pages are made from: same files and same Reflex, same name.

    With `locks` the npm packages count too; a build that resolves new ones writes them down.
    """
    digest = hashlib.sha256(version("reflex").encode())
    names = (*SOURCES, "reflex.lock") if locks else SOURCES
    for path in sorted(file for name in names for file in _files(ROOT / name)):
        digest.update(f"\0{path.relative_to(ROOT)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        for child in path.iterdir():
            if child.name != "__pycache__":
                yield from _files(child)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _spelling_kept(path: Path) -> Iterator[None]:
    """Puts a JSON file back as it was spelt when it still says the same afterwards.

    A build spells it in one line or in many, by turns, and every spelling is another hash.
    """
    before = path.read_text()
    yield
    if path.read_text() != before and json.loads(path.read_text()) == json.loads(before):
        path.write_text(before)


def reflex_environment(work: Path) -> dict[str, str]:
    """The environment that keeps Reflex to this checkout, to bun from the wheel, and quiet."""
    scripts = sysconfig.get_path("scripts")
    return {
        "PATH": os.pathsep.join((scripts, os.environ.get("PATH", os.defpath))),
        "REFLEX_USE_SYSTEM_BUN": "1",
        "REFLEX_CHECK_LATEST_VERSION": "0",
        "REFLEX_TELEMETRY_ENABLED": "0",
        "REFLEX_DIR": str(ROOT / "build" / "reflex"),
        "REFLEX_STATES_WORKDIR": str(ROOT / "build" / "states"),
        "REFLEX_WEB_WORKDIR": str(work),
    }


def _run_build() -> None:
    # Relative, because Reflex joins it to the working directory here and there.
    environment = {**os.environ, **reflex_environment(Path(WORK.name))}
    command = [sys.executable, "-m", "reflex", "export", "--frontend-only", "--no-zip"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise BuildFailed(f"the pages could not be built:\n{done.stdout[-4000:]}")


def _put_into_place(target: Path) -> Path:
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=BUILDS))
    try:
        for name in PRODUCTS:
            source, copy = WORK / name, draft / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy)
            elif source.exists():
                shutil.copy2(source, copy)
        draft.chmod(0o755)
        # It is there already when the build wrote down the very packages of an earlier one.
        if not target.is_dir():
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _drop_old_builds()
    return target


def _drop_old_builds() -> None:
    builds = [path for path in BUILDS.iterdir() if path.is_dir() and path.name[0] != "."]
    builds.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in builds[BUILDS_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _measured(path: Path, seconds: float) -> Build:
    client = path / "build" / "client"
    page = (client / "index.html").read_text()
    scripts = {client / name for name in re.findall(r'"/(assets/[^"]+\.js)"', page)}
    contents = [script.read_bytes() for script in scripts]
    return Build(
        path,
        seconds,
        sum(map(len, contents)),
        sum(len(gzip.compress(content)) for content in contents),
    )
