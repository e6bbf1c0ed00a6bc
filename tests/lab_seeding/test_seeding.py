# SPDX-License-Identifier: GPL-3.0-or-later
"""A replica joins a primary that has data and takes writes; every way there can be interrupted."""

from __future__ import annotations

import json

import pytest
from conftest import (
    APPLIED,
    DATA,
    ENGINE,
    EXECUTED,
    FENCED,
    FORGET,
    MARIADB,
    MEGABYTES,
    SERVICE,
    UNFENCED,
    Deployment,
    channel,
    empty,
    half_way,
    slow_down,
    sql,
)
from waiting import wait

BULK_ROWS = "SELECT COUNT(*) FROM guestbook.bulk"
WRITTEN_ROWS = "SELECT COUNT(*) FROM guestbook.written"
NO_CHANNEL = "STOP REPLICA; RESET REPLICA ALL"
KILL_SERVER = "kill -KILL $(pidof mariadbd mysqld)"
KILL_TRANSFER = "kill -KILL $(pidof mbstream)"

only_mariadb = pytest.mark.skipif(not MARIADB, reason="MySQL copies inside of its server")
only_mysql = pytest.mark.skipif(MARIADB, reason="MariaDB keeps its old data until the copy is complete")


def healthy(host):
    """Whether the replica follows with both threads."""
    seen = channel(host)
    return (seen.get("Replica_IO_Running"), seen.get("Replica_SQL_Running")) == ("Yes", "Yes")


def await_level(primary, replica):
    """Wait until the replica has applied all that the primary has executed."""
    position = sql(primary, f"SELECT {EXECUTED}")
    wait(f"position {position}", lambda: sql(replica, f"SELECT {APPLIED}") == position)


def assert_complete(primary, replica, verdict):
    """Every committed row is on the replica, and every row there is that of the primary."""
    assert healthy(replica), channel(replica)
    await_level(primary, replica)
    assert sql(replica, BULK_ROWS) == str(MEGABYTES // 4 * 4096)
    judged = verdict(compare=["guestbook"])
    found = next(check for check in judged["checks"] if check["id"] == "compare")
    assert found["status"] == "pass", found
    assert int(sql(primary, BULK_ROWS)) + int(sql(primary, WRITTEN_ROWS)) < judged["compare"]["rows"], judged["compare"]
    assert judged["verdict"] in ("ok", "warning"), judged["summary"]


@pytest.fixture
def with_own_data(replica):
    """A replica that follows nobody and has a schema that the primary knows nothing of."""
    sql(replica, f"{NO_CHANNEL}; {UNFENCED}")
    sql(replica, "DROP DATABASE IF EXISTS own; CREATE DATABASE own; CREATE TABLE own.t (id INT PRIMARY KEY)")
    sql(replica, f"INSERT INTO own.t VALUES (1); {FENCED}")
    return replica


# --- what the scenario deployed -------------------------------------------------------------------------------------


def test_data_from_before_the_replica_are_there(replica):
    assert sql(replica, "SELECT COUNT(*) FROM guestbook.early") == "3"


def test_accounts_of_the_primary_are_there(primary, replica):
    accounts = "SELECT CONCAT(user, '@', host) FROM mysql.user ORDER BY 1"
    assert sql(replica, accounts) == sql(primary, accounts)


def test_replica_follows_encrypted_by_gtid(primary, replica):
    seen = channel(replica)
    assert healthy(replica), seen
    assert seen["Source_SSL_Allowed"] == seen["Source_SSL_Verify_Server_Cert"] == "Yes"
    assert (seen["Using_Gtid"] if MARIADB else seen["Auto_Position"]) == ("Slave_Pos" if MARIADB else "1")
    await_level(primary, replica)


def test_only_the_primary_takes_writes(primary, replica):
    assert sql(primary, "SELECT @@GLOBAL.read_only") == "0"
    assert sql(replica, "SELECT @@GLOBAL.read_only") == "1"
    if not MARIADB:
        assert sql(replica, "SELECT @@GLOBAL.super_read_only") == "1"


def test_new_data_arrive(primary, replica):
    sql(primary, "DROP TABLE IF EXISTS guestbook.late; CREATE TABLE guestbook.late (id INT PRIMARY KEY)")
    sql(primary, "INSERT INTO guestbook.late VALUES (7)")
    await_level(primary, replica)
    assert sql(replica, "SELECT id FROM guestbook.late") == "7"


# --- joining --------------------------------------------------------------------------------------------------------


def test_an_empty_replica_joins_while_clients_write(primary, replica, writing, deploy, verdict):
    empty(replica)
    with writing() as writer:
        ran = deploy()
        before = writer.commits
        assert not ran.failed, ran.output
        assert ran.copied
        print(f"{ENGINE}, {MEGABYTES} MB: copied and in use after {ran.copy_seconds:.1f} s")
        wait("commits after the copy", lambda: writer.commits > before + 10)
    assert int(sql(primary, WRITTEN_ROWS)) == writer.commits
    assert_complete(primary, replica, verdict)
    assert sql(replica, WRITTEN_ROWS) == str(writer.commits)
    if MARIADB:
        assert sql(replica, "SELECT id FROM guestbook.crash_safe ORDER BY id").split() == ["1", "2", "3"]
        # Events run on the primary alone.
        state = "SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_NAME = 'tidy'"
        assert [sql(host, state) for host in (primary, replica)] == ["ENABLED", "SLAVESIDE_DISABLED"]


@pytest.mark.parametrize("path", [f"{DATA}.seed", f"{DATA}.replaced", f"{DATA}/webstack_seed.json"])
@only_mariadb
def test_nothing_is_left_over(replica, path):
    assert not replica.file(path).exists


@pytest.mark.parametrize("killed", ["run", "server", pytest.param("transfer", marks=only_mariadb)])
def test_a_copy_that_is_interrupted_is_finished_by_the_next_run(primary, replica, writing, deploy, verdict, killed):
    empty(replica)
    slow_down(replica)
    with writing():
        interrupted = Deployment()
        half_way(replica, {"run": "true", "server": KILL_SERVER, "transfer": KILL_TRANSFER}[killed])
        if killed == "run":
            interrupted.kill()
        else:
            interrupted.wait()
        # MariaDB's server takes no part in the copy before it is complete.
        assert interrupted.failed or (MARIADB and killed == "server"), interrupted.output
        again = deploy()
        assert not again.failed, again.output
        # A MySQL server carries on with a copy whose run has ended: the next one waits for it.
        assert again.copied or killed == "run" or (MARIADB and killed == "server")
    assert_complete(primary, replica, verdict)


@only_mysql
def test_an_interrupted_rebuild_leaves_an_empty_server_for_the_next_run(primary, replica, writing, deploy, verdict):
    slow_down(replica)
    with writing():
        interrupted = Deployment(mysql_replica_rebuild=[replica.backend.host])
        half_way(replica, KILL_SERVER)
        interrupted.wait()
        assert interrupted.failed
        assert "the next run begins again" in interrupted.told
        assert channel(replica) == {}
        again = deploy()
        assert not again.failed, again.output
        assert again.copied
    assert_complete(primary, replica, verdict)


def test_a_replica_behind_purged_logs_is_rebuilt_only_by_name(primary, replica, writing, deploy, verdict):
    changed = "SELECT changed FROM guestbook.bulk WHERE id = 1"
    had = sql(replica, changed)
    replica.check_output("systemctl stop %s", SERVICE)
    sql(primary, f"UPDATE guestbook.bulk SET changed = {had} - 1 WHERE id = 1; FLUSH BINARY LOGS")
    newest = sql(primary, "SHOW BINARY LOGS").splitlines()[-1].split("\t")[0]

    def purged():
        # A log is in use until its last reader is gone.
        sql(primary, f"PURGE BINARY LOGS TO '{newest}'")
        return sql(primary, "SHOW BINARY LOGS").split("\t")[0] == newest

    wait("the old logs to be purged", purged)
    replica.check_output("systemctl start %s", SERVICE)

    def failures():
        return {check["id"]: check for check in verdict()["checks"] if check["status"] == "fail"}

    wait("the receiver to give up", lambda: {"purge_horizon", "io_thread"} <= set(failures()))
    told = failures()
    assert "has purged transactions that never arrived here" in told["purge_horizon"]["message"]
    assert "the source has purged binary logs that this replica still needs" in told["io_thread"]["message"]

    for others in ([], ["another-host"]):
        refused = deploy(mysql_replica_rebuild=others)
        assert refused.failed
        assert not refused.copied
        assert "the source has purged binary logs that this replica still needs" in refused.told
        assert "mysql_replica_rebuild" in refused.told
    assert sql(replica, changed) == had

    with writing():
        rebuilt = deploy(mysql_replica_rebuild=[replica.backend.host])
        assert not rebuilt.failed, rebuilt.output
        assert rebuilt.copied
    assert_complete(primary, replica, verdict)


def test_data_of_its_own_are_refused_and_untouched(with_own_data, deploy):
    # Without a position it is no earlier state of the primary.
    sql(with_own_data, FORGET)
    ran = deploy()
    assert ran.failed
    assert not ran.copied
    assert "guestbook, own" in ran.told
    assert "mysql_replica_rebuild" in ran.told
    assert sql(with_own_data, "SELECT id FROM own.t") == "1"
    assert not with_own_data.file(f"{DATA}.seed").exists


@only_mariadb
def test_a_transfer_that_breaks_costs_nothing_and_can_be_repeated(with_own_data, deploy, replica):
    name = replica.backend.host
    replica.check_output("mv /usr/bin/mbstream /usr/bin/mbstream.away")
    try:
        broken = deploy(mysql_replica_rebuild=[name])
    finally:
        replica.check_output("mv /usr/bin/mbstream.away /usr/bin/mbstream")
    assert broken.failed
    assert sql(replica, "SELECT id FROM own.t") == "1"
    assert replica.file(f"{DATA}.seed").is_directory

    replica.check_output("touch %s/leftover", f"{DATA}.seed")
    replica.check_output("systemctl stop mariadb.service")
    repeated = deploy(mysql_replica_rebuild=[name])
    assert not repeated.failed, repeated.output
    assert healthy(replica)
    assert sql(replica, "SHOW DATABASES LIKE 'own'") == ""
    for leftover in (f"{DATA}.seed", f"{DATA}.replaced", f"{DATA}/leftover"):
        assert not replica.file(leftover).exists


@only_mysql
def test_data_of_its_own_are_given_up_by_name(with_own_data, primary, deploy, verdict):
    ran = deploy(mysql_replica_rebuild=[with_own_data.backend.host])
    assert not ran.failed, ran.output
    assert sql(with_own_data, "SHOW DATABASES LIKE 'own'") == ""
    assert_complete(primary, with_own_data, verdict)


@only_mariadb
def test_a_copy_in_place_without_its_position_is_finished(replica, deploy):
    position = sql(replica, f"SELECT {APPLIED}")
    sql(replica, f"{NO_CHANNEL}; {FORGET}")
    replica.check_output("echo %s > %s/webstack_seed.json", json.dumps({"position": position}), DATA)
    replica.check_output("mkdir %s.replaced", DATA)
    ran = deploy()
    assert not ran.failed, ran.output
    assert not ran.copied
    assert healthy(replica)
    assert not replica.file(f"{DATA}.replaced").exists
    assert not replica.file(f"{DATA}/webstack_seed.json").exists


def test_a_replica_whose_channel_was_lost_catches_up(primary, replica, deploy):
    sql(replica, NO_CHANNEL)
    sql(primary, "INSERT INTO guestbook.late VALUES (8)")
    ran = deploy()
    assert not ran.failed, ran.output
    assert not ran.copied
    await_level(primary, replica)
    assert sql(replica, "SELECT MAX(id) FROM guestbook.late") == "8"
