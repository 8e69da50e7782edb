"""Plays every file of cases/ against one gateway, which must come through all of them unharmed."""

from pathlib import Path

import pytest

from http_case import Player, parse_case
from http_front import Front
from http_wire import Wire

CASES = sorted((Path(__file__).parent / "cases").glob("*.case"))


@pytest.fixture(scope="module")
def front():
    with Front() as running:
        yield running


@pytest.mark.parametrize("number,path", list(enumerate(CASES)), ids=[p.stem for p in CASES])
def test_case(front, number, path):
    steps, why = parse_case(path.read_text("ascii"))
    try:
        Player(front.port, number).play(steps)
    except AssertionError as err:
        raise AssertionError("%s: %s\n%s" % (path.name, err, "\n".join(why))) from err
    # Whatever the case did, the next client is served.
    with Wire(front.port) as wire:
        wire.send(b"GET /health HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n")
        reply = wire.read_reply()
        assert reply is not None and reply.status == 200, "the next client got %r" % reply


def test_unharmed(front):
    """Same workers as at the start, and nothing from a sanitizer."""
    assert front.worker_pids() == front.pids
    assert front.sanitizer_reports() == []
