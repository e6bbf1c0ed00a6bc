"""MySQL servers that were there before: brought to GTIDs while they run, and copied only as a whole."""

from __future__ import annotations

import threading

import lab
import pytest
from ansible_collections.pentad.webstack.plugins.modules import (
    mysql_clone,
    mysql_clone_donor_info,
    mysql_gtid_mode,
    mysql_settings,
)
from conftest import local
from waiting import wait

STEPS = ("permit", "generate", "require")


@pytest.fixture
def mysql(pair):
    if pair.mariadb:
        pytest.skip("MariaDB always has GTIDs, and copies tables of all engines")
    yield pair
    for server in (pair.primary, pair.replica):
        for mode in ("OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"):
            server.sql("SET GLOBAL enforce_gtid_consistency = ON", "SET @now = @@GLOBAL.gtid_mode")
            if mysql_gtid_mode.MODES.index(server.value("SELECT @@GLOBAL.gtid_mode")) < mysql_gtid_mode.MODES.index(
                mode
            ):
                server.sql(f"SET GLOBAL gtid_mode = {mode}")


@pytest.fixture
def without(mysql):
    """A primary and its replica that use positions and no GTIDs."""
    mysql.stop_replica()
    mysql.change(AUTO_POSITION=0)
    mysql.start_replica()
    for mode in ("ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"):
        for server in (mysql.replica, mysql.primary):
            server.sql(f"SET GLOBAL gtid_mode = {mode}")
            mysql.primary.sql("INSERT INTO app.t (id, v) VALUES (FLOOR(100 + RAND() * 1000000), 'x')")
        wait("the replica to have all rows", lambda: count(mysql.primary) == count(mysql.replica))
    for server in (mysql.primary, mysql.replica):
        server.sql("SET GLOBAL enforce_gtid_consistency = OFF")
    return mysql


def count(server: lab.Server) -> int:
    """Rows that a server has."""
    return server.value("SELECT COUNT(*) FROM app.t")


def position(answer: dict) -> dict:
    """What a server told, as another one is told it."""
    return answer["position"]


def test_one_step_is_never_taken_for_all_of_them(without, run):
    """C(ON) was sent as 1, which is OFF_PERMISSIVE, and reported as done."""
    answer = run(mysql_settings, settings={"gtid_mode": "ON"}, **local(without.primary))
    assert answer["failed"]
    assert "mysql_server_enable_gtid" in answer["msg"]
    assert without.primary.value("SELECT @@GLOBAL.gtid_mode") == "OFF"


def test_a_pair_is_brought_to_gtids_under_a_writer(without, run):
    pair, stop, written = without, threading.Event(), []

    def write() -> None:
        with pair.primary.connect() as connection, connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO app.t (id, v) VALUES (%s, 'w')", [10_000_000 + len(written)])
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait("the writer to write", lambda: written)
        servers, sources = (pair.primary, pair.replica), []
        for step in STEPS:
            given = {"sources": sources} if step == "require" else {}
            for server in servers:
                planned = run(mysql_gtid_mode, check_mode=True, step=step, **given, **local(server))
                assert planned["changed"] is True, planned
            answers = [run(mysql_gtid_mode, step=step, timeout=60, **given, **local(server)) for server in servers]
            assert [answer.get("changed") for answer in answers] == [True, True], answers
            sources = [answer["position"] for answer in answers if "position" in answer] or sources
    finally:
        stop.set()
        writer.join()
    assert written
    wait("the replica to have all rows", lambda: count(pair.primary) == count(pair.replica))
    assert pair.replica.channel()["Replica_SQL_Running"] == "Yes"
    for server in servers:
        assert (
            server.value("SELECT @@GLOBAL.gtid_mode")
            == server.value("SELECT @@GLOBAL.enforce_gtid_consistency")
            == "ON"
        )
        for step in STEPS:
            assert run(mysql_gtid_mode, step=step, sources=sources, **local(server))["changed"] is False
    # From here on it follows by GTID.
    pair.stop_replica()
    pair.change(AUTO_POSITION=1)
    pair.start_replica()
    pair.primary.sql("INSERT INTO app.t VALUES (99, 'by GTID')")
    pair.settle()


def test_a_transaction_that_began_before_is_waited_for(without, run):
    primary = local(without.primary)
    run(mysql_gtid_mode, step="permit", **primary)
    with without.primary.connect() as open_one, open_one.cursor() as cursor:
        cursor.execute("SET SESSION gtid_next = 'ANONYMOUS'")
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO app.t VALUES (77, 'slow')")
        answer = run(mysql_gtid_mode, step="generate", timeout=1, **primary)
        assert "a transaction that began without a GTID is still running after 1 s" in answer["msg"]
        later = threading.Timer(1, lambda: cursor.execute("COMMIT"))
        later.start()
        done = run(mysql_gtid_mode, step="generate", timeout=30, **primary)
        assert (done.get("failed"), done["gtid_mode"]) == (None, "ON_PERMISSIVE")
        later.join()


def test_a_replica_whose_source_stays_behind_takes_no_step(without, run):
    for step in ("permit", "generate"):
        run(mysql_gtid_mode, step=step, **local(without.replica))
    answer = run(mysql_gtid_mode, step="require", **local(without.replica))
    assert "name both hosts in mysql_server_enable_gtid" in answer["msg"]
    assert without.replica.value("SELECT @@GLOBAL.gtid_mode") == "ON_PERMISSIVE"


def test_tables_that_a_clone_leaves_empty_are_named_and_nothing_is_copied(mysql, run):
    mysql.primary.sql(
        "CREATE TABLE app.log (a INT) ENGINE=MyISAM", "INSERT INTO app.log VALUES (1)",
        "CREATE TABLE app.sessions (a INT) ENGINE=MEMORY", "CREATE TABLE app.list (a INT NOT NULL) ENGINE=CSV",
        "CREATE VIEW app.seen AS SELECT * FROM app.log",
    )  # fmt: skip
    donor = run(mysql_clone_donor_info, **local(mysql.primary))
    assert donor["not_cloned"] == ["app.list (CSV)", "app.log (MyISAM)", "app.sessions (MEMORY)"]
    before = mysql.replica.sql("SELECT * FROM app.t ORDER BY id")
    options = {
        "donor_host": mysql.primary.ip, "donor_user": lab.REPL_USER, "donor_password": lab.REPL_PASSWORD,
        "overwrite": True, "not_cloned": donor["not_cloned"], **local(mysql.replica),
    }  # fmt: skip
    answer = run(mysql_clone, **options)
    assert "app.list (CSV), app.log (MyISAM), app.sessions (MEMORY)" in answer["msg"]
    assert mysql.replica.sql("SELECT * FROM app.t ORDER BY id") == before
