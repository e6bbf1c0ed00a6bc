# SPDX-License-Identifier: GPL-3.0-or-later
"""A MariaDB replica joins a primary that already has data; every way there can be interrupted."""

from __future__ import annotations

import json

import pytest
from conftest import await_value, channel, sql

DATA = "/var/lib/mysql"
EARLY_ROWS = "SELECT COUNT(*) FROM guestbook.early"


@pytest.fixture
def with_own_data(replica):
    """A replica that follows nobody and has a schema that the primary knows nothing of."""
    sql(replica, "STOP SLAVE; RESET SLAVE ALL; CREATE OR REPLACE DATABASE own; CREATE TABLE own.t AS SELECT 1 AS id")
    return replica


def healthy(host):
    """Whether the replica follows with both threads."""
    seen = channel(host)
    return (seen.get("Slave_IO_Running"), seen.get("Slave_SQL_Running")) == ("Yes", "Yes")


def test_data_from_before_the_replica_are_there(replica):
    assert sql(replica, EARLY_ROWS) == "100000"
    assert sql(replica, "SELECT id FROM guestbook.crash_safe ORDER BY id").split() == ["1", "2", "3"]


def test_accounts_of_the_primary_are_there(primary, replica):
    accounts = "SELECT CONCAT(user, '@', host) FROM mysql.user ORDER BY 1"
    assert sql(replica, accounts) == sql(primary, accounts)


def test_replica_follows_encrypted_by_gtid(primary, replica):
    seen = channel(replica)
    assert healthy(replica), seen
    assert seen["Master_SSL_Allowed"] == seen["Master_SSL_Verify_Server_Cert"] == "Yes"
    assert seen["Using_Gtid"] == "Slave_Pos"
    position = sql(primary, "SELECT @@GLOBAL.gtid_binlog_pos")
    assert await_value(replica, "SELECT @@GLOBAL.gtid_slave_pos", position) == position


def test_only_the_primary_takes_writes(primary, replica):
    assert sql(primary, "SELECT @@GLOBAL.read_only") == "0"
    assert sql(replica, "SELECT @@GLOBAL.read_only") == "1"


def test_new_data_arrive(primary, replica):
    sql(primary, "CREATE OR REPLACE TABLE guestbook.late AS SELECT 7 AS id")
    position = sql(primary, "SELECT @@GLOBAL.gtid_binlog_pos")
    assert await_value(replica, "SELECT @@GLOBAL.gtid_slave_pos", position) == position
    assert sql(replica, "SELECT id FROM guestbook.late") == "7"


@pytest.mark.parametrize("path", [f"{DATA}.seed", f"{DATA}.replaced", f"{DATA}/webstack_seed.json"])
def test_nothing_is_left_over(replica, path):
    assert not replica.file(path).exists


def test_data_of_its_own_are_refused_and_untouched(with_own_data, deploy):
    # Without a position it is no earlier state of the primary.
    sql(with_own_data, "RESET MASTER; SET GLOBAL gtid_slave_pos = ''")
    ran = deploy()
    assert ran.returncode != 0
    told = " ".join(ran.stdout.split())
    assert "guestbook, own" in told
    assert "mysql_replica_rebuild" in told
    assert sql(with_own_data, "SELECT id FROM own.t") == "1"
    assert not with_own_data.file(f"{DATA}.seed").exists


def test_a_transfer_that_breaks_costs_nothing_and_can_be_repeated(with_own_data, deploy, replica):
    name = replica.backend.host
    replica.check_output("mv /usr/bin/mbstream /usr/bin/mbstream.away")
    try:
        broken = deploy(mysql_replica_rebuild=[name])
    finally:
        replica.check_output("mv /usr/bin/mbstream.away /usr/bin/mbstream")
    assert broken.returncode != 0
    assert sql(replica, "SELECT id FROM own.t") == "1"
    assert replica.file(f"{DATA}.seed").is_directory

    replica.check_output("touch %s/leftover", f"{DATA}.seed")
    replica.check_output("systemctl stop mariadb.service")
    repeated = deploy(mysql_replica_rebuild=[name])
    assert repeated.returncode == 0, repeated.stdout
    assert healthy(replica)
    assert sql(replica, EARLY_ROWS) == "100000"
    assert sql(replica, "SHOW DATABASES LIKE 'own'") == ""
    for leftover in (f"{DATA}.seed", f"{DATA}.replaced", f"{DATA}/leftover"):
        assert not replica.file(leftover).exists


def test_a_copy_in_place_without_its_position_is_finished(replica, deploy):
    position = sql(replica, "SELECT @@GLOBAL.gtid_slave_pos")
    sql(replica, "STOP SLAVE; RESET SLAVE ALL; RESET MASTER; SET GLOBAL gtid_slave_pos = ''")
    replica.check_output("echo %s > %s/webstack_seed.json", json.dumps({"position": position}), DATA)
    replica.check_output("mkdir %s.replaced", DATA)
    ran = deploy()
    assert ran.returncode == 0, ran.stdout
    assert "Send the data of the primary" not in ran.stdout
    assert healthy(replica)
    assert not replica.file(f"{DATA}.replaced").exists
    assert not replica.file(f"{DATA}/webstack_seed.json").exists


def test_a_replica_whose_channel_was_lost_catches_up(primary, replica, deploy):
    sql(replica, "STOP SLAVE; RESET SLAVE ALL")
    sql(primary, "INSERT INTO guestbook.late VALUES (8)")
    ran = deploy()
    assert ran.returncode == 0, ran.stdout
    assert "Send the data of the primary" not in ran.stdout
    assert await_value(replica, "SELECT MAX(id) FROM guestbook.late", "8") == "8"
