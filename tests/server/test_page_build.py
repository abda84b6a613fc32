"""Building the pages in a checkout that the user can only read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from platformdirs import PlatformDirs

from billing_app.server import page_build
from billing_app.server.page_build import BUILDS, WORK, BuildFailed, ensure_built, sources_hash
from tests.server.conftest import AsOtherUser

PAGE = '<script src="/assets/entry.js"></script>'


@pytest.fixture
def checkout(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a small read-only checkout, which any user can enter, in place of the real one.

    The user has no home.
    """
    parent = Path(tempfile.mkdtemp(prefix="tb-"))
    parent.chmod(0o755)
    root = parent / "checkout"
    for name in ("rxconfig.py", "billing_app/billing_app.py", "reflex.lock/package.json", "assets/app.js"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}")
    (parent / "own").mkdir(mode=0o777)
    (parent / "own").chmod(0o777)
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setattr(page_build, "ROOT", root)
    monkeypatch.setenv("XDG_DATA_HOME", str(root / "none"))
    yield root
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(parent)


def compile_pages(place: Path) -> None:
    """Replace Reflex, which takes a minute: write the pages where it would."""
    client = place / WORK / "build" / "client"
    (client / "assets").mkdir(parents=True, exist_ok=True)
    (client / "index.html").write_text(PAGE)
    (client / "assets/entry.js").write_text("let page")


def test_build_of_the_owner_is_used_by_a_user_who_cannot_write(
    checkout: Path, as_other_user: AsOtherUser
) -> None:
    checkout.chmod(0o755)
    existing = checkout / BUILDS / sources_hash()
    compile_pages(existing)
    shutil.move(existing / WORK / "build", existing / "build")
    checkout.chmod(0o555)

    def check() -> None:
        build = ensure_built(own_dir=checkout.parent / "own")
        assert (build.path, build.seconds) == (existing, 0.0)
        assert build.work_dir == checkout.parent / "own" / "pages"

    as_other_user(check)


def test_missing_build_is_made_from_a_copy_of_the_sources(
    checkout: Path, as_other_user: AsOtherUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_build, "_run_build", compile_pages)
    own_dir = checkout.parent / "own"

    def check() -> None:
        built = ensure_built(own_dir=own_dir)
        assert built.path == own_dir / "pages" / BUILDS / sources_hash()
        assert (own_dir / "pages/billing_app/billing_app.py").exists()
        assert ensure_built(own_dir=own_dir).path == built.path

    as_other_user(check)
    changed = checkout / "assets/app.js"
    changed.chmod(0o644)
    changed.write_text("{ }")
    changed.chmod(0o444)
    as_other_user(check)
    assert not (checkout / "build").exists()


def test_missing_build_is_made_in_the_home_of_a_user_who_has_one(
    checkout: Path, as_other_user: AsOtherUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_build, "_run_build", compile_pages)
    home = checkout.parent / "own" / "home"
    monkeypatch.setenv("XDG_DATA_HOME", str(home))

    def check() -> None:
        # Servers with data directories of their own share it with what has none, such as `make wheel`.
        built = ensure_built()
        assert built.path.is_relative_to(home / "tallybook" / "pages")
        assert ensure_built(own_dir=checkout.parent / "own").path == built.path

    as_other_user(check)


def test_missing_build_without_a_place_is_refused(checkout: Path, as_other_user: AsOtherUser) -> None:
    def check() -> None:
        with pytest.raises(BuildFailed, match=r"^The pages are not built, and user ID \d+ can't write to"):
            ensure_built()

    as_other_user(check)


def test_reflex_is_loaded_for_a_user_without_an_account(tmp_path: Path, as_other_user: AsOtherUser) -> None:
    def check() -> None:
        os.environ.clear()
        os.environ.update(page_build.reflex_environment(tmp_path, tmp_path))
        # Reflex asks for this directory when its constants are loaded.
        assert PlatformDirs("reflex", False).user_data_path

    as_other_user(check)
