"""The wheel, installed into an environment of its own and started in an empty directory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from billing_app.project_files import ROOT
from billing_app.server import page_build
from tests.e2e.conftest import free_port, when_it_answers

ADMIN, PASSWORD = "ada@example.com", "a quiet harbour at noon"
# The parts of it without which no program runs, and no JavaScript runtime.
SYSTEM_PATH = "/usr/bin:/bin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    return build_wheel(tmp_path_factory.mktemp("dist"))


def build_wheel(directory: Path) -> Path:
    command = [sys.executable, "tools/wheel.py", str(directory)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    (built,) = directory.glob("*.whl")
    return built


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel in it."""

    path: Path

    def files(self) -> dict[str, float]:
        """Return the time at which each file was last changed."""
        return {str(path): path.lstat().st_mtime for path in self.path.rglob("*")}

    @contextmanager
    def serving(self, directory: Path, **settings: str) -> Iterator[str]:
        """Run `billing serve` in a directory until the block ends; yield its address."""
        port = free_port()
        environment = {
            "PATH": SYSTEM_PATH,
            "PYTHONDONTWRITEBYTECODE": "1",
            "BILLING_PORT": str(port),
            **settings,
        }
        log = self.path.parent / f"serve-{port}.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [self.path / "bin" / "billing", "serve"],
                cwd=directory,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                yield when_it_answers(f"http://localhost:{port}", process, log)
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(40) == 0, log.read_text()


@pytest.fixture(scope="module")
def installation(wheel: Path) -> Iterator[Installation]:
    """Install the wheel. What it depends on is that of the tests, which saves most of a minute."""
    parent = Path(tempfile.mkdtemp(prefix="tb-"))
    parent.chmod(0o711)
    path = parent / "installed"
    # The environment of the tests has no pip; the Python that it was made from has one.
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run(
        ["sh", "deploy/install.sh", str(path), str(wheel.parent)],
        cwd=ROOT,
        env={**os.environ, "PYTHON": str(python), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"},
        check=True,
    )
    (site_packages,) = path.glob("lib/*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    yield Installation(path)
    shutil.rmtree(parent)


def test_installed_wheel_serves_pages_in_an_empty_directory_and_writes_only_data(
    installation: Installation, browser: Browser
) -> None:
    directory = installation.path.parent / "empty"
    directory.mkdir()
    before = installation.files()
    with installation.serving(directory, BILLING_ADMIN_EMAIL=ADMIN, BILLING_ADMIN_PASSWORD=PASSWORD) as url:
        assert first_invoice(url) == "29.00"
        page = browser.new_page(base_url=url)
        page.goto("/login")
        page.get_by_label("Email").fill(ADMIN)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/")
        page.goto("/invoices/ACME-0001")
        expect(page.get_by_role("heading", name="ACME-0001")).to_be_visible()
        page.close()
    assert [each.name for each in directory.iterdir()] == [".data"]
    assert installation.files() == before


def first_invoice(url: str) -> str:
    """Take a new installation to its first invoice, over the API, and return the invoice's total."""
    body = {"email": ADMIN, "password": PASSWORD}
    token = httpx.post(f"{url}/api/v1/auth/token", json=body).json()["access_token"]
    with httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}) as client:

        def post(path: str, **body: object) -> dict[str, object]:
            answer = client.post(path, json=body)
            assert answer.status_code == 201, answer.text
            return dict(answer.json())

        company = {"name": "Tally Ltd", "address": "1 High Street", "email": "billing@tally.test"}
        saved = client.put("/issuer", json={**company, "payment_instructions": ""})
        assert saved.status_code == 200, saved.text
        plan = post(
            "/plans", name="Growth", monthly_price="29.00", included_units="1000", overage_unit_price="0.0125"
        )
        month = time.strftime("%Y-%m", time.gmtime(time.time() - 31 * 24 * 3600))
        post(
            "/customers",
            key="acme",
            name="Acme",
            email="a@acme.test",
            plan_id=plan["id"],
            start=month,
        )
        post("/usage", customer="acme", quantity="5", idempotency_key="first")
        return str(post("/invoices", customer="acme", period=month)["total"])


def test_wheel_is_built_reproducibly(wheel: Path, tmp_path: Path) -> None:
    assert build_wheel(tmp_path).read_bytes() == wheel.read_bytes()


def test_built_pages_do_not_depend_on_when_they_were_built() -> None:
    # Reflex writes both into a file that its script imports.
    for script in (page_build.ensure_built().path / "build" / "client").rglob("*.js"):
        text = script.read_text()
        assert "last_reflex_run_datetime" not in text, script
        assert "project_hash" not in text, script


def test_installation_needs_no_javascript_runtime(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        required = message_from_string(archive.read(name).decode()).get_all("Requires-Dist")
    assert required
    assert not [each for each in required if "bun" in each]


def test_wheel_without_pages_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "The wheel contains the built pages. Build it with `make wheel`." in done.stderr
    assert list(tmp_path.iterdir()) == []
