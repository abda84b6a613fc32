"""Building the pages, once per version of their sources, with a JavaScript runtime from a wheel."""

from __future__ import annotations

import fcntl
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from billing_app.project_files import BUILT_PAGES, ROOT

WORK = Path(".web")
BUILDS = Path("build/pages")
LOCK = Path("reflex.lock")

# The sources of the compiled pages. Services and tables are not among them.
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
# The parts of a finished build that a server needs: the pages, and the file that makes Reflex skip compiling.
PRODUCTS = ("build/client", "backend", "routes.json", "utils")
BUILDS_KEPT = 4

# Where the server's Python part is while the pages are developed; set by `billing serve --dev` alone.
DEV_BACKEND = "TALLYBOOK_DEV_BACKEND"


class BuildFailed(RuntimeError):
    """The pages could not be built. The message holds what the build printed."""


@dataclass(frozen=True, slots=True)
class Build:
    """A finished build. `seconds` is zero when it existed already.

    `work_dir` is a directory for Reflex's own files, which this user can write to.
    """

    path: Path
    work_dir: Path
    seconds: float
    first_page_bytes: int
    first_page_gzip_bytes: int


def packaged_build(work_dir: Path) -> Build:
    """Return the pages that an installed wheel brings along. Nothing is written to `work_dir`."""
    return _measure(BUILT_PAGES, work_dir, 0.0)


def ensure_built(say: Callable[[str], None] = lambda line: None, *, own_dir: Path | None = None) -> Build:
    """Return the pages built from the sources as they are now, building them only if needed.

    A build is a directory named after the hash of its sources, and is renamed into place when it is
    complete: a server keeps using the one that it started with. Several processes may call at once;
    one builds, and the others wait. A user who can't write to the checkout uses the checkout's build,
    or builds a copy of the sources in the user's home, or without a home in `own_dir`.

    Raises:
        BuildFailed: The build failed, or has no place.
    """
    place = ROOT if _can_build_in(ROOT) else _place_in_home() or (own_dir and own_dir.resolve() / "pages")
    for root in (ROOT, place):
        if root and (existing := root / BUILDS / sources_hash()).is_dir():
            with suppress(PermissionError):  # Only used to find old builds.
                os.utime(existing)
            return _measure(existing, place or ROOT, 0.0)
    if not place:
        raise BuildFailed(f"The pages are not built, and user ID {os.geteuid()} can't write to {ROOT}.")
    with _lock(place / BUILDS / ".lock"):
        if (existing := place / BUILDS / sources_hash()).is_dir():
            return _measure(existing, place, 0.0)
        return _build_in(place, say)


def _place_in_home() -> Path | None:
    """Return this user's own directory for the builds of this checkout, or None if there can't be one."""
    try:
        home = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
        place = home / "tallybook" / "pages" / hashlib.sha256(bytes(ROOT)).hexdigest()[:16]
        place.mkdir(parents=True, exist_ok=True)
    except (RuntimeError, OSError):  # This user has no home, or can't write to it.
        return None
    return place if os.access(place, os.W_OK) else None


def _can_build_in(root: Path) -> bool:
    """Return whether this user can write to all that a build changes."""
    changed = (root, root / "build", root / BUILDS, root / WORK, root / LOCK)
    return all(os.access(path, os.W_OK) for path in changed if path.exists())


def _build_in(place: Path, say: Callable[[str], None]) -> Build:
    say("Building the pages. This happens once and takes a minute on a slow machine.")
    started_at = time.monotonic()
    before = sources_hash(with_lock=False)
    if place != ROOT:
        _copy_sources(place)
    with _spelling_kept(place / LOCK / "package.json"):
        _run_build(place)
    if before != sources_hash(with_lock=False):
        raise BuildFailed("The sources changed while the pages were being built. Start again.")
    # A build may update the lock file with newly resolved packages, which changes the hash.
    path = _put_into_place(place, sources_hash())
    build = _measure(path, place, time.monotonic() - started_at)
    say(
        f"Built in {build.seconds:.1f} s. The first page loads {build.first_page_bytes / 1e3:.0f} kB of "
        f"JavaScript, {build.first_page_gzip_bytes / 1e3:.0f} kB compressed."
    )
    return build


def sources_hash(*, with_lock: bool = True) -> str:
    """Return a name for the pages' sources: the same files and the same Reflex have the same name.

    With `with_lock` it covers the versions of the npm packages too.
    """
    digest = hashlib.sha256(version("reflex").encode())
    names = (*SOURCES, str(LOCK)) if with_lock else SOURCES
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


def _copy_sources(place: Path) -> None:
    """Copy what a build reads from the checkout, which is read-only for this user."""
    without_caches = shutil.ignore_patterns("__pycache__")
    for name in ("rxconfig.py", "bunfig.toml", ".npmrc", "assets", "billing_app", str(LOCK)):
        source, copy = ROOT / name, place / name
        shutil.rmtree(copy, ignore_errors=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=without_caches)
            # The next build replaces the copies, which have the modes of the originals.
            for directory in (copy, *filter(Path.is_dir, copy.rglob("*"))):
                directory.chmod(0o755)
        elif source.exists():
            shutil.copyfile(source, copy)
    for path in (place / LOCK).iterdir():
        path.chmod(0o644)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _spelling_kept(path: Path) -> Iterator[None]:
    """Restore a JSON file's formatting if its contents are the same afterwards.

    A build writes it on one line or on many, and every formatting would have another hash.
    """
    before = path.read_text()
    yield
    if path.read_text() != before and json.loads(path.read_text()) == json.loads(before):
        path.write_text(before)


def reflex_environment(web_dir: Path, work_dir: Path) -> dict[str, str]:
    """Return the environment that keeps Reflex to these directories, to bun from the wheel, and quiet."""
    scripts = sysconfig.get_path("scripts")
    return {
        "PATH": os.pathsep.join((scripts, os.environ.get("PATH", os.defpath))),
        "REFLEX_USE_SYSTEM_BUN": "1",
        "REFLEX_CHECK_LATEST_VERSION": "0",
        "REFLEX_TELEMETRY_ENABLED": "0",
        # A user ID without an account has no home, in which Reflex looks for it as soon as it is loaded.
        "XDG_DATA_HOME": os.environ.get("XDG_DATA_HOME") or str(work_dir / "build" / "share"),
        "REFLEX_DIR": str(work_dir / "build" / "reflex"),
        "REFLEX_STATES_WORKDIR": str(work_dir / "build" / "states"),
        "REFLEX_WEB_WORKDIR": str(web_dir),
    }


def _run_build(place: Path) -> None:
    # `.web` is relative, because Reflex joins it to the working directory in some places.
    environment = {**os.environ, **reflex_environment(WORK, place)}
    # The copied sources take precedence over the installed checkout.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "reflex", "export", "--frontend-only", "--no-zip"]
    done = subprocess.run(
        command,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise BuildFailed(f"The pages could not be built:\n{done.stdout[-4000:]}")


def _put_into_place(place: Path, name: str) -> Path:
    builds = place / BUILDS
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=builds))
    try:
        for product in PRODUCTS:
            source, copy = place / WORK / product, draft / product
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy)
            elif source.exists():
                shutil.copy2(source, copy)
        draft.chmod(0o755)
        # It already exists if the build resolved exactly the packages of an earlier one.
        if not (builds / name).is_dir():
            draft.rename(builds / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _remove_old_builds(builds)
    return builds / name


def _remove_old_builds(builds: Path) -> None:
    found = [path for path in builds.iterdir() if path.is_dir() and path.name[0] != "."]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in found[BUILDS_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _measure(path: Path, work_dir: Path, seconds: float) -> Build:
    client = path / "build" / "client"
    page = (client / "index.html").read_text()
    scripts = {client / name for name in re.findall(r'"/((?:assets|js)/[^"]+\.js)"', page)}
    contents = [script.read_bytes() for script in scripts]
    return Build(
        path,
        work_dir,
        seconds,
        sum(map(len, contents)),
        sum(len(gzip.compress(content)) for content in contents),
    )
