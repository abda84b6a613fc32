"""Create the virtual environment of this checkout, with the packages in `requirements.lock`.

    python3 tools/setup.py            the environment
    python3 tools/setup.py --browser  and a browser for the tests

It uses the standard library only, because it runs before anything is installed. It can be run again at any
time: it does nothing if everything is installed, resumes after an interruption, updates after a change of the
lock file or pyproject.toml, and waits if it is already running for this checkout. A user who can't write to
the checkout can use an environment that its owner has set up.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
PROJECT = ROOT / "pyproject.toml"
PACKAGES_STAMP = VENV / "packages.stamp"
PROJECT_STAMP = VENV / "project.stamp"

NO_BROWSER = """\
The page tests need Chromium, and none was found or could be installed. Do one of these:
  - install Chromium or Chrome so that it is on the PATH (Debian: apt-get install chromium)
  - .venv/bin/playwright install --with-deps chromium
  - run this as root on a system with apt, which installs Chromium"""


class SetupError(Exception):
    """Something is missing on this machine. The message says how to get it."""


def main(arguments):
    """Install what is missing. Return the exit code."""
    try:
        check_python()
        if not is_set_up():
            require_write_access()
            with one_at_a_time():
                create_environment()
                install_project()
        if "--browser" in arguments:
            install_browser()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def check_python():
    """Refuse a Python that is too old."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            "Python {}.{} or later is required, and `{}` is {}.{}. Name another one: make PYTHON=python3.12".format(
                *OLDEST_PYTHON, sys.executable, *sys.version_info
            )
        )


@contextlib.contextmanager
def one_at_a_time():
    """Hold the setup lock of this checkout. The kernel releases it when the process ends."""
    with (ROOT / ".setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another set-up of this checkout to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_set_up():
    """Return whether the environment has the locked packages and this project, and works."""
    return (
        is_stamped(PACKAGES_STAMP, wanted_packages())
        and is_stamped(PROJECT_STAMP, wanted_project())
        and environment_works()
    )


def require_write_access():
    """Refuse to set up a checkout that belongs to another user."""
    if not os.access(ROOT, os.W_OK):
        raise SetupError(
            f"{ROOT} is not set up, and user ID {os.geteuid()} can't write to it. "
            f"Run `make setup` as its owner, user ID {ROOT.stat().st_uid}, first."
        )


def wanted_packages():
    """Return a fingerprint of the packages that the environment should have, and of its path."""
    # A virtual environment contains absolute paths, so one that was moved is another one.
    return fingerprint(LOCK.read_bytes(), bytes(VENV))


def wanted_project():
    """Return a fingerprint of pyproject.toml."""
    return fingerprint(PROJECT.read_bytes())


def create_environment():
    """Create `.venv` with the locked packages and no others.

    It is never updated in place, so that packages that were removed from the lock file are removed.
    """
    if is_stamped(PACKAGES_STAMP, wanted_packages()) and environment_works():
        return
    print("setup: installing the packages into .venv (about a minute the first time)", flush=True)
    PACKAGES_STAMP.unlink(missing_ok=True)
    # Without pip, because Debian's Python can't install it there. The pip outside is used instead.
    run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)], "creating .venv")
    pip_install("--require-hashes", "--only-binary=:all:", "-r", str(LOCK))
    PACKAGES_STAMP.write_text(wanted_packages())


def install_project():
    """Make `billing_app` importable from this checkout, and install the `billing` command.

    It is reinstalled whenever pyproject.toml changes, so that the command has the current entry point.
    """
    if not is_stamped(PROJECT_STAMP, wanted_project()):
        PROJECT_STAMP.unlink(missing_ok=True)
        pip_install("--no-index", "--no-build-isolation", "--editable", str(ROOT))
        PROJECT_STAMP.write_text(wanted_project())


def fingerprint(*parts):
    """Return a hash of these contents."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_stamped(stamp, wanted):
    """Return whether this step was completed for these contents."""
    return stamp.is_file() and stamp.read_text() == wanted


def environment_works():
    """Return whether its Python starts and finds its packages, which a system upgrade can break."""
    if not PYTHON.exists():
        return False
    probe = [str(PYTHON), "-c", "import importlib.util as u, sys; sys.exit(not u.find_spec('reflex'))"]
    return subprocess.run(probe, cwd=VENV, stderr=subprocess.DEVNULL).returncode == 0


def pip_install(*arguments):
    """Install into `.venv` with the pip of the Python that runs this script."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL).returncode:
        raise SetupError(f"`{sys.executable}` has no pip (Debian: apt-get install python3-pip)")
    pip = [sys.executable, "-m", "pip", "--python", str(PYTHON), "--disable-pip-version-check"]
    run([*pip, "install", "-qq", "--no-deps", "--root-user-action=ignore", *arguments], "installing with pip")


def install_browser():
    """Install a browser for the tests unless there is one."""
    if browser_works():
        return
    for attempt in browser_sources():
        print("setup: no browser found, trying:", *attempt, flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(attempt, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment)
        if browser_works():
            return
    raise SetupError(NO_BROWSER)


def browser_works():
    """Return whether the tests find a browser that starts."""
    search = [str(PYTHON), str(ROOT / "tests" / "browser.py")]
    return subprocess.run(search, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def browser_sources():
    """Yield the commands that may install a browser, the least intrusive first."""
    playwright = str(VENV / "bin" / "playwright")
    yield [playwright, "install", "chromium"]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        yield ["apt-get", "-q", "update"]
        yield ["apt-get", "-q", "install", "-y", "-o", "DPkg::Lock::Timeout=600", "chromium"]
        # A browser that Playwright downloaded may lack only the libraries it is linked to.
        yield [playwright, "install-deps", "chromium"]


def run(command, doing):
    """Run a command, and raise SetupError if it fails."""
    code = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if code:
        raise SetupError(f"{doing} failed with exit code {code}; its output is above")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
