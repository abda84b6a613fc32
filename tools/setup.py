"""Make the environment of this checkout: `.venv`, exactly as `requirements.lock` says.

    python3 tools/setup.py            the environment
    python3 tools/setup.py --browser  and a browser for the tests

Standard library only, since it runs before anything is installed. It may be run again at
any time: it does nothing when all is there, starts over what was interrupted, follows a
changed lock, and a second one at the same time waits for the first.
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

NO_BROWSER = """\
The page tests need a Chromium, and none could be found or installed. Any one of these helps:
  - install Chromium or Chrome so that it is on the PATH (Debian: apt-get install chromium)
  - .venv/bin/playwright install --with-deps chromium
  - run this as root on a system with apt, which then does the first by itself"""


class SetupError(Exception):
    """What is missing on this machine, and how to get it."""


def main(arguments):
    """Set up what is missing; answer the exit code."""
    try:
        check_python()
        with one_at_a_time():
            make_environment()
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
    """Refuse a Python that is too old, naming it."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            "Python {}.{} or newer is needed, and `{}` is {}.{}. Name a newer one: make PYTHON=python3.12".format(
                *OLDEST_PYTHON, sys.executable, *sys.version_info
            )
        )


@contextlib.contextmanager
def one_at_a_time():
    """Hold this checkout's set-up lock, which the kernel frees however this process ends."""
    with (ROOT / ".setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another set-up of this checkout", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_environment():
    """Make `.venv` hold the locked packages and no others.

    It is made anew rather than changed: what a changed lock no longer names must not stay.
    """
    # A virtual environment has absolute paths in it, so one that was moved is another one.
    wanted = fingerprint(LOCK.read_bytes(), bytes(VENV))
    stamp = VENV / "packages.stamp"
    if is_stamped(stamp, wanted) and environment_works():
        return
    print("setup: installing the packages into .venv (about a minute the first time)", flush=True)
    stamp.unlink(missing_ok=True)
    # Without pip: Debian's Python can't put one in, and the pip outside serves as well.
    run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)], "making .venv")
    pip_install("--require-hashes", "--only-binary=:all:", "-r", str(LOCK))
    stamp.write_text(wanted)


def install_project():
    """Make `billing_app` importable from this checkout, and `billing` a command."""
    wanted = fingerprint(PROJECT.read_bytes())
    stamp = VENV / "project.stamp"
    if not is_stamped(stamp, wanted):
        pip_install("--no-index", "--no-build-isolation", "--editable", str(ROOT))
        stamp.write_text(wanted)


def fingerprint(*parts):
    """Name these contents."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_stamped(stamp, wanted):
    """Tell whether this step was finished for these contents."""
    return stamp.is_file() and stamp.read_text() == wanted


def environment_works():
    """Tell whether its Python still starts and finds its packages: a system upgrade takes both away."""
    if not PYTHON.exists():
        return False
    probe = [str(PYTHON), "-c", "import importlib.util as u, sys; sys.exit(not u.find_spec('reflex'))"]
    return subprocess.run(probe, cwd=VENV, stderr=subprocess.DEVNULL).returncode == 0


def pip_install(*arguments):
    """Install into `.venv` with the pip of the Python that runs this."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL).returncode:
        raise SetupError(f"`{sys.executable}` has no pip (Debian: apt-get install python3-pip)")
    pip = [sys.executable, "-m", "pip", "--python", str(PYTHON), "--disable-pip-version-check"]
    run([*pip, "install", "-qq", "--no-deps", "--root-user-action=ignore", *arguments], "installing with pip")


def install_browser():
    """Find a browser that the tests can drive, or install one."""
    if browser_works():
        return
    for attempt in browser_sources():
        print("setup: no browser yet, trying:", *attempt, flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(attempt, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment)
        if browser_works():
            return
    raise SetupError(NO_BROWSER)


def browser_works():
    """Ask the tests' own search, which starts the browser to be sure."""
    search = [str(PYTHON), str(ROOT / "tests" / "browser.py")]
    return subprocess.run(search, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def browser_sources():
    """Yield the commands that may bring a browser, the least intrusive first."""
    playwright = str(VENV / "bin" / "playwright")
    yield [playwright, "install", "chromium"]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        yield ["apt-get", "-q", "update"]
        yield ["apt-get", "-q", "install", "-y", "-o", "DPkg::Lock::Timeout=600", "chromium"]
        # A browser that Playwright did download may want only the libraries it is linked to.
        yield [playwright, "install-deps", "chromium"]


def run(command, doing):
    """Run a command that must succeed."""
    code = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if code:
        raise SetupError(f"{doing} failed (exit code {code}); what it said is above")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
