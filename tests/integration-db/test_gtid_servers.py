"""The GTID arithmetic against the servers' own functions."""

from __future__ import annotations

import random

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.gtid import GtidSet

UUIDS = ["3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"]


def some_set(rng):
    parts = []
    for uuid in rng.sample(UUIDS, rng.randint(0, 2)):
        text = uuid
        for tag in ["", *rng.sample(["ops", "b_2"], rng.randint(0, 2))]:
            spans = []
            for _n in range(rng.randint(1, 3)):
                start = rng.randint(1, 30)
                spans.append(f"{start}-{start + rng.randint(0, 8)}" if rng.random() < 0.7 else str(start))
            text += (f":{tag}" if tag else "") + ":" + ":".join(spans)
        parts.append(text)
    return ",".join(parts)


def test_same_answers_as_the_server(running):
    if running.mariadb:
        pytest.skip("MariaDB has no set functions")
    rng = random.Random(7)
    with running.primary.connect() as connection, connection.cursor() as cursor:
        for _n in range(300):
            a, b = some_set(rng), some_set(rng)
            cursor.execute("SELECT GTID_SUBTRACT(%s, %s), GTID_SUBSET(%s, %s)", (a, b, a, b))
            left, subset = cursor.fetchone()
            ours = GtidSet.parse(a) - GtidSet.parse(b)
            assert str(ours) == left.replace("\n", "").lower(), (a, b)
            assert (GtidSet.parse(a) <= GtidSet.parse(b)) == bool(subset), (a, b)
