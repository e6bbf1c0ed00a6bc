# SPDX-License-Identifier: GPL-3.0-or-later
"""The canary: written through the read-write path, read through the read-only one."""

from __future__ import annotations

import pytest


def test_written_on_the_primary_and_read_from_the_replica(client, cluster):
    written = client.post("/canary", json={"token": "t-1"})
    assert written.get_json() == {"node": "web1", "database": "db1"}
    assert client.get("/canary").get_json() == {
        "node": "web1",
        "database": "db2",
        "role": "replica",
        "tokens": {"web1": "t-1"},
    }


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": "a b"}, {"token": "x" * 65}, {"token": 1}, ["token"]])
def test_refuses_what_is_no_token(client, cluster, body):
    assert client.post("/canary", json=body).status_code == 400
    assert cluster.canaries == {}


@pytest.mark.parametrize(("port", "method"), [(3306, "post"), (3307, "get")])
def test_says_that_the_database_is_away(client, cluster, port, method):
    cluster.down.add(port)
    answer = getattr(client, method)("/canary", json={"token": "t"})
    assert answer.status_code == 503
    assert "database" in answer.get_json()["error"]


def test_writes_again_over_a_connection_lost_while_idle(client, cluster):
    client.post("/canary", json={"token": "t-1"})
    cluster.faults["REPLACE"] = [2013]
    assert client.post("/canary", json={"token": "t-2"}).status_code == 200
    assert cluster.canaries == {"web1": "t-2"}
