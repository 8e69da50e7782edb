"""A short run of random_requests.py; POINTSMAN_RANDOM_COUNT and _SEED make it longer or other."""

import os

from http_front import Front
from random_requests import run


def test_random_requests():
    count = int(os.environ.get("POINTSMAN_RANDOM_COUNT", "800"))
    seed = int(os.environ.get("POINTSMAN_RANDOM_SEED", "1"))
    with Front(workers=2) as front:
        wrong = run(front, count, seed, say=print)
    assert not wrong, "%d wrong\n%s" % (len(wrong), "\n".join(wrong[:10]))
