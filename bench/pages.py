"""Response times of pages in Chromium, from a click to the last change on the screen.

bench/recorder.js records the input, the websocket messages, and the frame in which the rows of the response
are drawn, so nothing depends on fixed waiting times. bench/tour.py says what is clicked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

import psycopg
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from bench.databases import Bench, settle
from bench.http import Served
from bench.ingest import ACTOR
from bench.measures import say
from bench.tour import LIST_PAGES, OTHER_ACTIONS, TEXT, UserAction, list_actions
from billing_app.domain.actor import Role
from billing_app.services.identity.users import create_user
from billing_app.state.kit.session import SessionState
from tests.browser import find_browser
from tests.e2e.conftest import BROWSER_FLAGS

EMAIL, PASSWORD = "bench@bench.test", "a quiet harbour at noon"
RECORDER = Path(__file__).parent / "recorder.js"
# The reference is clicked after every so many measured actions.
REFERENCE_EVERY = 3
# The handler loads the viewer's name, which every page shows.
_HANDLER = f"{SessionState.get_full_name()}.enter"


@dataclass(slots=True)
class ListTimes:
    """The milliseconds of each combination of filters and order on a list page, and of the reference there."""

    combinations: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    reference: list[float] = field(default_factory=list)

    @property
    def all(self) -> list[float]:
        """Return the times of all combinations."""
        return [each for times in self.combinations.values() for each in times]

    @property
    def slowest(self) -> tuple[str, float]:
        """Return the combination with the largest median, and that median."""
        medians = {name: median(times) for name, times in self.combinations.items()}
        return max(medians.items(), key=lambda each: each[1])


@dataclass(slots=True)
class PageTimes:
    """All measured milliseconds: by list page, by other action, and of first loads."""

    lists: dict[str, ListTimes] = field(default_factory=dict)
    others: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    first_loads: list[float] = field(default_factory=list)


def p95(times: list[float]) -> float:
    """Return the 95th percentile."""
    return quantiles(times, n=20)[18] if len(times) > 1 else times[0]


def page_times(bench: Bench, server: Served, rounds: int, found: PageTimes) -> None:
    """Measure each action as an admin, after a warm-up round, and then page loads with an empty cache.

    The times are added to `found` as they are measured.
    """
    _add_user(bench)
    settle(bench)
    with _browser() as browser, bench.superuser() as db:
        context = _context(browser, server)
        page = _signed_in(context)
        for number in range(rounds + 1):
            times = found if number else PageTimes()  # The first round only warms up.
            for each in LIST_PAGES:
                _measure_list(
                    page, db, list(list_actions(each)), times.lists.setdefault(each.title, ListTimes())
                )
            for action in OTHER_ACTIONS:
                taken = _taken(page, action)
                if action.measured:
                    times.others[action.what].append(taken)
            say(f"pages: round {number} of {rounds}")
        for _ in range(max(3, rounds)):
            first = _context(browser, server, storage_state=context.storage_state())
            found.first_loads.append(_first_load(first))


def _measure_list(page: Page, db: psycopg.Connection, actions: list[UserAction], times: ListTimes) -> None:
    done = 0
    for action in actions:
        if action.optional is not None and not action.optional(page).count():
            continue
        if action.path and action.path == _path(page):
            continue
        taken = _taken(page, action)
        if not action.measured:
            continue
        times.combinations[action.combination].append(taken)
        done += 1
        if done % REFERENCE_EVERY == 0:
            times.reference.append(_reference(page, db))


def _path(page: Page) -> str:
    parts = urlsplit(page.url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


_names = count(1)


def _reference(page: Page, db: psycopg.Connection) -> float:
    """Measure a click that changes one text on the page, to a new value from the database."""
    db.execute("UPDATE user_account SET name = %s WHERE email = %s", [f"Bench {next(_names)}", EMAIL])
    page.evaluate("answer => tallybookBench.arm(answer)", TEXT)
    page.evaluate("handler => tallybookBench.clickReference(handler)", _HANDLER)
    return _answer(page)


@contextmanager
def _browser() -> Iterator[Browser]:
    path = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield browser
        browser.close()


def _context(browser: Browser, server: Served, **options: Any) -> BrowserContext:
    made = browser.new_context(
        base_url=f"http://localhost:{server.port}", viewport={"width": 1280, "height": 800}, **options
    )
    made.add_init_script(path=RECORDER)
    return made


def _signed_in(context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Main").wait_for()
    page.goto("/plans")
    _answer(page)
    return page


def _add_user(bench: Bench) -> None:
    database = bench.database()
    with database.transaction(ACTOR) as session:
        create_user(session, ACTOR, email=EMAIL, name="Bench", role=Role.ADMIN, password=PASSWORD)
    database.close()


def _first_load(context: BrowserContext) -> float:
    page = context.new_page()
    page.goto("/customers", wait_until="commit")
    taken = _answer(page)
    context.close()
    return taken


def _taken(page: Page, action: UserAction) -> float:
    """Measure an action in ms."""
    page.evaluate("answer => tallybookBench.arm(answer)", action.answer)
    try:
        action.do(page)
        return _answer(page)
    except Error as error:
        name = f"{action.what} {action.combination}".strip()
        raise RuntimeError(f"{name}, at {page.url}: {error.message}") from error


def _answer(page: Page) -> float:
    return float(page.evaluate("() => tallybookBench.ended()")["shown"])
