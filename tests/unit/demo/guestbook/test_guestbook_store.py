# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading one's own writes, and writing once while the primary moves."""

from __future__ import annotations

import pytest
from guestbook import db
from guestbook.config import DatabaseUrl
from guestbook.entries import Draft
from guestbook.positions import PRIMARY
from guestbook.store import Guestbook, OutcomeUnknown, Unavailable

DRAFT = Draft("Ada", "Hello")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def book(cluster, time):
    endpoints = [
        db.Endpoint(DatabaseUrl("127.0.0.1", port, "app", "secret", "guestbook"), cluster.connect)
        for port in (3306, 3307)
    ]
    return Guestbook(*endpoints, "web1", clock=lambda: time.now, sleep=time.sleep)


def waits(cluster):
    return [statement for statement in cluster.statements if "GTID_SET(" in statement or "GTID_WAIT(" in statement]


@pytest.mark.parametrize(
    ("version", "wait"), [("9.7.0", "WAIT_FOR_EXECUTED_GTID_SET"), ("11.8.6-MariaDB-log", "MASTER_GTID_WAIT")]
)
def test_own_write_is_seen_while_the_replica_lags(book, cluster, version, wait):
    cluster.version = version
    cluster.lag = True
    written = book.add(DRAFT)
    assert written.position == cluster.position
    assert book.newest(10).entries == []
    assert waits(cluster) == []
    reading = book.newest(10, written.position)
    assert (reading.database, reading.role, len(reading.entries)) == ("db1", "primary", 1)
    assert wait in waits(cluster)[0]
    cluster.lag = False
    cluster.replica_rows = cluster.rows
    reading = book.newest(10, written.position)
    assert (reading.database, reading.role, len(reading.entries)) == ("db2", "replica", 1)


def test_a_replica_that_cannot_wait_is_not_asked_for_entries(book, cluster):
    cluster.faults = {"SELECT WAIT_FOR": [1235]}
    assert book.newest(10, "0-1-5").database == "db1"
    assert book.newest(10).database == "db2"
    assert len(cluster.connections) == 2


def test_an_unknown_position_means_the_primary(book, cluster):
    cluster.faults = {"SELECT @@hostname, @@GLOBAL.gtid": [2013]}
    written = book.add(DRAFT)
    assert (written.id, written.database, written.position) == (1, None, PRIMARY)
    assert book.newest(10, PRIMARY).database == "db1"


def test_a_server_without_positions(book, cluster, monkeypatch):
    monkeypatch.setattr(type(cluster), "position", "")
    assert book.add(DRAFT).position == PRIMARY


def test_a_promoted_replica_need_not_wait(book, cluster):
    cluster.replica_read_only = 0
    reading = book.newest(10, "0-1-5")
    assert (reading.database, reading.role) == ("db2", "primary")
    assert waits(cluster) == []


@pytest.mark.parametrize(
    ("value", "role"), [(0, "primary"), ("OFF", "primary"), (1, "replica"), ("NO_LOCK", "replica")]
)
def test_role(book, cluster, value, role):
    cluster.replica_read_only = value
    assert book.newest(1).role == role


def test_reads_fall_back_to_the_primary(book, cluster):
    cluster.down = {3307}
    reading = book.newest(10)
    assert (reading.database, reading.role) == ("db1", "primary")
    assert "No replica answered" in reading.note
    cluster.down = {3306, 3307}
    with pytest.raises(Unavailable):
        book.newest(10)


def test_connections_are_kept(book, cluster):
    for _attempt in range(3):
        book.add(DRAFT)
        book.newest(10)
    assert [connection.port for connection in cluster.connections] == [3306, 3307]


@pytest.mark.parametrize("number", [2006, 2013, 4031, 1053])
def test_a_read_over_a_connection_lost_while_idle_is_repeated_once(book, cluster, number):
    book.newest(10)
    cluster.faults = {"SELECT @@hostname": [number]}
    assert book.newest(10).database == "db2"
    assert len(cluster.connections) == 2
    assert cluster.connections[0].closed


def test_an_error_that_is_no_lost_connection_is_not_repeated(book, cluster):
    book.newest(10)
    cluster.faults = {"SELECT id": [1146]}
    assert book.newest(10).database == "db1"


def test_a_fresh_connection_lost_is_not_repeated(book, cluster):
    cluster.faults = {"SELECT @@hostname": [2013]}
    assert book.newest(10).database == "db1"
    assert [connection.port for connection in cluster.connections] == [3307, 3306]


@pytest.mark.parametrize("number", [1290, 1836, 3100, 2006, 2013, 4031])
@pytest.mark.parametrize("statement", ["CONNECT", "BEGIN", "INSERT"])
def test_a_write_refused_before_commit_is_repeated_on_a_fresh_connection(book, cluster, time, statement, number):
    cluster.faults = {statement: [number, number]}
    assert book.add(DRAFT).id == 1
    assert cluster.messages == ["Hello"]
    assert time.now == pytest.approx(0.2)
    assert [connection.closed for connection in cluster.connections][-1] is False
    assert all(connection.closed for connection in cluster.connections[:-1])


@pytest.mark.parametrize("number", [1290, 1836, 3101])
def test_a_commit_the_server_rolled_back_is_repeated(book, cluster, number):
    cluster.faults = {"COMMIT": [number]}
    assert book.add(DRAFT).id == 1
    assert cluster.messages == ["Hello"]


@pytest.mark.parametrize("number", [2006, 2013, 1053, 3100, 1180])
def test_a_commit_without_a_clear_answer_is_never_repeated(book, cluster, time, number):
    cluster.faults = {"COMMIT": [number]}
    with pytest.raises(OutcomeUnknown):
        book.add(DRAFT)
    assert time.now == 0
    assert sum(statement.startswith("INSERT") for statement in cluster.statements) == 1
    assert cluster.connections[0].closed


def test_writes_give_up_after_three_seconds(book, cluster, time):
    cluster.down = {3306}
    with pytest.raises(Unavailable) as caught:
        book.add(DRAFT)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert 3 <= time.now < 3.3


def test_other_errors_end_a_write_at_once(book, cluster, time):
    cluster.faults = {"INSERT": [1146]}
    with pytest.raises(Unavailable):
        book.add(DRAFT)
    assert time.now == 0
    assert cluster.messages == []


def test_an_aborted_request_leaves_no_doubtful_connection(cluster):
    endpoint = db.Endpoint(DatabaseUrl("127.0.0.1", 3306, "app", "secret", "guestbook"), cluster.connect)

    def abort(_cursor):
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        endpoint.run(abort)
    assert cluster.connections[0].closed
    assert not endpoint.kept
