"""Fixtures of the end-to-end tests: gateways and stand-in clouds that end with their test."""

import signal
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import harness  # noqa: E402
from cloud import Cloud  # noqa: E402

TEST_LIMIT = 180
LIVE = []
MEASURED = []


def pytest_collection_modifyitems(items):
    reason = harness.missing()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for gateway in LIVE:
            report.sections.append((f"gateway {gateway.dir.name}", gateway.log_tail()))


def pytest_terminal_summary(terminalreporter):
    if MEASURED:
        terminalreporter.section("measured")
        for line in MEASURED:
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def limit():
    """A test that hangs fails, with the line it hung on."""
    def expired(*_):
        raise AssertionError(f"the test took longer than {TEST_LIMIT} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(TEST_LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def measured():
    """Lines that are printed after the run."""
    return MEASURED.append


def _gateways():
    mine = []

    def make(models, routes=None, **how):
        gateway = harness.Gateway(models, routes, start=False, **how)
        mine.append(gateway)
        LIVE.append(gateway)
        return gateway.start()

    yield make
    for gateway in mine:
        gateway.close()
        LIVE.remove(gateway)


@pytest.fixture
def make_gateway():
    yield from _gateways()


@pytest.fixture(scope="module")
def make_module_gateway():
    yield from _gateways()


@pytest.fixture
def make_cloud():
    """Clouds whose every complaint fails the test, unless it takes them out itself."""
    mine = []

    def make(protocol="openai", **how):
        folder = tempfile.mkdtemp(prefix="pm-cloud-")
        cloud = Cloud(folder, protocol, **how)
        mine.append((cloud, folder))
        return cloud

    yield make
    complaints = []
    for cloud, folder in mine:
        cloud.close()
        shutil.rmtree(folder, ignore_errors=True)
        complaints += cloud.violations
    assert not complaints, complaints
