"""Create the virtual environment of this checkout, with the packages in `requirements.lock`.

    python3 tools/setup.py            the environment
    python3 tools/setup.py --browser  and a browser for the tests
    python3 tools/setup.py --bin      only print where its commands are

It uses the standard library only, because it runs before anything is installed. It can be run again at any
time: it does nothing if everything is installed, resumes after an interruption, updates after a change of the
lock file or pyproject.toml, and waits if it is already running for this checkout. A user who can't write to
the checkout uses the environment that its owner has set up. If that one does not work for this user, such as
under a Python in another user's home, the environment is in the user's own home.
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
LOCK = ROOT / "requirements.lock"
PROJECT = ROOT / "pyproject.toml"

NO_BROWSER = """\
The page tests need Chromium, and none was found or could be installed. Do one of these:
  - install Chromium or Chrome so that it is on the PATH (Debian: apt-get install chromium)
  - {}/playwright install --with-deps chromium
  - run this as root on a system with apt, which installs Chromium"""


class SetupError(Exception):
    """Something is missing on this machine. The message says how to get it."""


def main(arguments):
    """Install what is missing. Return the exit code."""
    try:
        check_python()
        environment = Environment(find_place())
        if "--bin" in arguments:
            print(environment.bin)
            return 0
        environment.ensure_installed()
        if "--browser" in arguments:
            install_browser(environment)
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


def find_place():
    """Return the directory of the environment: in the checkout, or in the user's home if it has to be."""
    usual = ROOT / ".venv"
    if os.access(ROOT, os.W_OK) or Environment(usual).is_installed():
        return usual
    try:
        home = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    except RuntimeError:  # This user has no home.
        return usual
    return home / "tallybook" / "environments" / fingerprint(bytes(ROOT))[:16]


class Environment:
    """A virtual environment with the locked packages and this project."""

    def __init__(self, place):
        self.place = place
        self.bin = place / "bin"
        self.python = self.bin / "python"
        self.packages_stamp = place / "packages.stamp"
        self.project_stamp = place / "project.stamp"
        # A virtual environment contains absolute paths, so one that was moved is another one.
        self.packages = fingerprint(LOCK.read_bytes(), bytes(place))
        self.project = fingerprint(PROJECT.read_bytes())

    def ensure_installed(self):
        """Install what is missing, or wait until another process has done so."""
        if not self.is_installed():
            with one_at_a_time(self.place.parent):
                self.install_packages()
                self.install_project()

    def is_installed(self):
        """Return whether it has the locked packages and this project, and works."""
        return self.has_packages() and is_stamped(self.project_stamp, self.project)

    def has_packages(self):
        """Return whether it has the locked packages and works, which a system upgrade can end."""
        if not is_stamped(self.packages_stamp, self.packages) or not os.access(self.python, os.X_OK):
            return False
        probe = [
            str(self.python),
            "-c",
            "import importlib.util as u, sys; sys.exit(not u.find_spec('reflex'))",
        ]
        return subprocess.run(probe, cwd=self.place, stderr=subprocess.DEVNULL).returncode == 0

    def install_packages(self):
        """Create it with the locked packages and no others.

        It is never updated in place, so that packages that were removed from the lock file are removed.
        """
        if self.has_packages():
            return
        place = ".venv" if self.place.parent == ROOT else self.place
        print(f"setup: installing the packages into {place} (about a minute the first time)", flush=True)
        self.packages_stamp.unlink(missing_ok=True)
        # Without pip, because Debian's Python can't install it there. The pip outside is used instead.
        create = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(self.place)]
        run(create, f"creating {place}")
        self.pip_install("--require-hashes", "--only-binary=:all:", "-r", str(LOCK))
        self.packages_stamp.write_text(self.packages)

    def install_project(self):
        """Make `billing_app` importable from this checkout, and install the `billing` command.

        It is reinstalled whenever pyproject.toml changes, so that the command has the current entry point.
        """
        if not is_stamped(self.project_stamp, self.project):
            self.project_stamp.unlink(missing_ok=True)
            self.pip_install("--no-index", "--no-build-isolation", "--editable", str(ROOT))
            self.project_stamp.write_text(self.project)

    def pip_install(self, *arguments):
        """Install into it with the pip of the Python that runs this script."""
        if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL).returncode:
            raise SetupError(f"`{sys.executable}` has no pip (Debian: apt-get install python3-pip)")
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check"]
        run(
            [*pip, "install", "-qq", "--no-deps", "--root-user-action=ignore", *arguments],
            "installing with pip",
        )


@contextlib.contextmanager
def one_at_a_time(directory):
    """Hold the setup lock in a directory. The kernel releases it when the process ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".setup.lock").open("w")
    except OSError as error:
        raise SetupError(
            f"{ROOT} is not set up, and user ID {os.geteuid()} can write neither to it nor to a home "
            f"({error.strerror}: {error.filename}). Run `make setup` as the owner of {ROOT}, user ID "
            f"{ROOT.stat().st_uid}, or set XDG_DATA_HOME to a directory that this user can write to."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another set-up of this checkout to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fingerprint(*parts):
    """Return a hash of these contents."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_stamped(stamp, wanted):
    """Return whether this step was completed for these contents."""
    return os.access(stamp, os.R_OK) and stamp.read_text() == wanted


def install_browser(environment):
    """Install a browser for the tests unless there is one."""
    if browser_works(environment):
        return
    for attempt in browser_sources(environment):
        print("setup: no browser found, trying:", *attempt, flush=True)
        variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(attempt, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=variables)
        if browser_works(environment):
            return
    raise SetupError(NO_BROWSER.format(environment.bin))


def browser_works(environment):
    """Return whether the tests find a browser that starts."""
    search = [str(environment.python), str(ROOT / "tests" / "browser.py")]
    return subprocess.run(search, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def browser_sources(environment):
    """Yield the commands that may install a browser, the least intrusive first."""
    playwright = str(environment.bin / "playwright")
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
