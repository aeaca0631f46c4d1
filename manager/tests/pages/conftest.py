"""What the tests share: one filled installation, one browser, and the pages that there are."""

import functools

import pytest

import crawl
from browser import Browser, Pictures
from filled import COMPANY_PEOPLE, PARTNER, SYSTEM_PEOPLE, Filled

# The first address of each role.
START = {"outside": "/login", **dict.fromkeys([*SYSTEM_PEOPLE, PARTNER], "/system"), **dict.fromkeys(COMPANY_PEOPLE, "/")}


@functools.cache
def filled():
    return Filled()


def pytest_sessionfinish():
    if filled.cache_info().currsize:
        filled().close()


def pytest_terminal_summary(terminalreporter):
    """The figures that tests gave with `record_property("figure", …)`."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(value)


@functools.cache
def pages():
    """Each page with the roles that see it: `(role, page, whether an earlier role has it too)`."""
    found, known = [], set()
    for role in [*COMPANY_PEOPLE, *SYSTEM_PEOPLE, PARTNER, "outside"]:
        for page in crawl.crawl(filled().visitors[role], START[role]):
            again = page.kind in known
            known.add(page.kind)
            # The manual is the same for everybody.
            if not (again and page.kind.startswith("/manual")):
                found.append((role, page, again))
    return found


def pytest_generate_tests(metafunc):
    if "visit" in metafunc.fixturenames:
        names = [f"{role}:{page.kind}" for role, page, _ in pages()]
        metafunc.parametrize("visit", pages(), ids=names)


@pytest.fixture(scope="session")
def site():
    return filled()


@pytest.fixture(scope="session")
def browser():
    made = Browser()
    yield made
    made.close()


@pytest.fixture(scope="session")
def pictures():
    return Pictures()
