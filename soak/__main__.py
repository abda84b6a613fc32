"""`python -m soak [--rounds N] [--seconds S] [--seed N] [--faults a,b]`: cause faults under load, and check.

Every round causes one fault while usage is being sent and invoices are generated. Then the servers must be
ready again by themselves, and the database must contain what was acknowledged. The exit code is 1 if
anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import psutil
import psycopg

from billing_app.database.provision import urls_of
from soak.checks import Found, check, verify
from soak.faults import FAULTS, Round, possible_faults
from soak.installation import DATABASE, Installation, installed
from soak.ledger import Ledger
from soak.memory import Memory
from soak.senders import BatchSender, Biller, CloudEventSender, FileSender, SingleSender
from soak.sending import Sender, Traffic
from soak.servers import wait_until
from tests.factories import PASSWORD

READY_SECONDS_MAX = 180
_FIRST_MONTH_YEARS_AGO = 6
_SINGLE_SENDERS = 8
_PROBLEMS_SHOWN = 20
# Tells the program that it is in a mount namespace of its own.
_IN_NAMESPACE = "--in-mount-namespace"


def main() -> int:
    """Run the soak. Return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument(
        "--seconds", type=float, default=20, help="how long the load of a round lasts at least"
    )
    parser.add_argument("--freeze", type=float, default=60, help="how long a server is frozen")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--faults", default="", help=f"some of {','.join(FAULTS)}")
    parser.add_argument(_IN_NAMESPACE, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.in_mount_namespace and can_unshare():
        os.execvp("unshare", [*_unshare(), sys.executable, "-m", "soak", *sys.argv[1:], _IN_NAMESPACE])
    # Ends everything that was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    say(f"seed {arguments.seed}")
    directory = Path(tempfile.mkdtemp(prefix="tallybook-soak-"))
    directory.chmod(0o711)
    is_right = False
    try:
        is_right = soak(directory, arguments)
    finally:
        if is_right:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            say(f"The logs of the servers, and what was acknowledged, are in {directory}")
    return 0 if is_right else 1


def _unshare() -> list[str]:
    as_user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    return ["unshare", "--mount", *as_user]


def can_unshare() -> bool:
    """Return whether this process can have a mount namespace of its own, for the disk that is filled."""
    return bool(shutil.which("unshare")) and os.system(" ".join([*_unshare(), "true", "2>/dev/null"])) == 0


def soak(directory: Path, arguments: argparse.Namespace) -> bool:
    """Run all rounds. Return whether everything was right."""
    chance = random.Random(arguments.seed)
    today = datetime.now(UTC).date()
    first = date(today.year - _FIRST_MONTH_YEARS_AGO, 1, 1)
    ledger = Ledger(directory / "acknowledged.txt")
    started = time.monotonic()
    with installed(directory, first, chance, has_disk=arguments.in_mount_namespace) as on:
        names = arguments.faults.split(",") if arguments.faults else possible_faults(on)
        left_out = [name for name in FAULTS if name not in names]
        say(f"faults: {', '.join(names)}" + (f"; left out: {', '.join(left_out)}" if left_out else ""))
        wait_ready(on, ledger)
        memory = Memory(on.servers)
        with sending(on, ledger, first, arguments.seed) as (traffic, senders, biller):
            found = Found()
            for number in range(1, arguments.rounds + 1):
                # Each fault comes once before any comes twice.
                if (number - 1) % len(names) == 0:
                    chance.shuffle(names)
                this = Round(on, chance, arguments.seconds, arguments.freeze, biller, number)
                found = one_round(this, names[(number - 1) % len(names)], arguments.seconds, traffic, senders)
                memory.sample()
        summary(arguments.rounds, time.monotonic() - started, found, ledger, traffic, memory)
    ledger.close()
    return not ledger.problems


@contextmanager
def sending(
    on: Installation, ledger: Ledger, first: date, seed: int
) -> Iterator[tuple[Traffic, Sequence[Sender], Biller]]:
    """Send load until the block ends."""
    traffic = Traffic([proxy.port for proxy in on.to_servers], ledger)
    session = sign_in(on)
    usage = (on.token, seed, on.customers, first)
    biller = Biller(0, traffic, session, seed, first, on.customers)
    senders: list[Sender] = [
        *(SingleSender(number, traffic, *usage) for number in range(_SINGLE_SENDERS)),
        *(CloudEventSender(number, traffic, *usage) for number in range(2)),
        *(BatchSender(number, traffic, *usage) for number in range(2)),
        FileSender(0, traffic, *usage),
        biller,
    ]
    for sender in senders:
        sender.start()
    try:
        yield traffic, senders, biller
    finally:
        traffic.over.set()
        traffic.go_on()
        for sender in senders:
            sender.join(60)


def sign_in(on: Installation) -> str:
    """Return the access token of the admin's session."""
    body = {"email": on.admin, "password": PASSWORD}
    answer = httpx.post(f"{on.servers[0].url}/api/v1/auth/token", json=body, timeout=60)
    return str(answer.raise_for_status().json()["access_token"])


def one_round(this: Round, name: str, seconds: float, traffic: Traffic, senders: Sequence[Sender]) -> Found:
    """Send load, cause the fault in the middle of it, and check everything."""
    ledger, before = traffic.ledger, len(traffic.ledger.acknowledged)
    started = time.monotonic()
    traffic.go_on()
    time.sleep(this.chance.uniform(0.2, 0.5) * seconds)
    try:
        detail = FAULTS[name](this)
    except (OSError, psycopg.Error, psutil.Error) as error:
        detail = "failed"
        ledger.report(f"the fault {name} could not be caused: {error!r}")
    time.sleep(0.5 * seconds)
    wait_ready(this.on, ledger)
    if not traffic.pause(len(senders)):
        stuck = [each.name for each in senders if each.is_alive()]
        ledger.report(f"not all senders were answered in time: {traffic.parked} of {len(stuck)}")
    found = look(this.on, ledger)
    say(
        f"round {this.number}, {time.monotonic() - started:.0f} s: {name} ({detail}); {len(ledger.acknowledged) - before:,} more events acknowledged,"
        f" {found.lost} lost, {found.duplicated} duplicated, {found.discrepancies} discrepancies"
    )
    return found


def wait_ready(on: Installation, ledger: Ledger) -> None:
    """Wait until all servers answer by themselves that they are ready."""
    for server in on.servers:
        if not wait_until(server.is_ready, READY_SECONDS_MAX):
            ledger.report(f"{server.name} was not ready after {READY_SECONDS_MAX} seconds")


def look(on: Installation, ledger: Ledger) -> Found:
    """Check everything while nothing is sent. Problems are added to the ledger's."""
    try:
        with on.owner() as owner:
            found = check(ledger, owner)
        verify(urls_of(on.postgres, DATABASE).application, found)
    except psycopg.Error as error:
        found = Found(problems=[f"the check failed: {error}"])
    for problem in found.problems:
        ledger.report(problem)
    return found


def summary(
    rounds: int, seconds: float, found: Found, ledger: Ledger, traffic: Traffic, memory: Memory
) -> None:
    """Print the result."""
    for problem in memory.problems():
        ledger.report(problem)
    say("requests: " + ", ".join(f"{count:,} {what}" for what, count in sorted(traffic.counts.items())))
    for line in memory.lines():
        say(line)
    say(
        f"{rounds} rounds in {seconds:,.0f} s: {len(ledger.acknowledged):,} events acknowledged,"
        f" {found.lost} lost, {found.duplicated} duplicated; {len(ledger.payments):,} payments;"
        f" {found.discrepancies} discrepancies; {len(ledger.problems)} problems"
    )
    for problem, times in Counter(ledger.problems).most_common(_PROBLEMS_SHOWN):
        say(f"  {times} times: {problem}")


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
