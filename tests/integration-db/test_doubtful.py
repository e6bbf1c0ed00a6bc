"""What only looks like a fault gives no alarm, and what only looks well does not pass."""

from __future__ import annotations

import contextlib
import subprocess
import threading

import lab
import pytest
import yaml
from conftest import as_set, both, check, configure_accounts, local, remote, troubles, verify, wait_for_troubles
from places import TOP
from waiting import wait


def write_many(pair, count):
    """Let the primary have so many transactions more, as fast as it can."""
    if pair.mariadb:
        last = int(pair.primary.value("SELECT @@gtid_binlog_pos").rsplit("-", 1)[1])
        pair.primary.sql(f"SET SESSION gtid_seq_no={last + count}", "INSERT INTO app.t VALUES (7000, 'far ahead')")
        return
    pair.primary.sql(
        "SET GLOBAL sync_binlog=0, innodb_flush_log_at_trx_commit=0",
        "SET SESSION sql_log_bin=0",
        f"CREATE PROCEDURE app.many() BEGIN DECLARE n INT DEFAULT 0; WHILE n < {count} DO"
        " INSERT INTO app.t VALUES (10000 + n, 'x'); SET n = n + 1; END WHILE; END",
        "SET SESSION sql_log_bin=1",
        "CALL app.many()",
        "SET GLOBAL sync_binlog=1, innodb_flush_log_at_trx_commit=1",
        "SET SESSION sql_log_bin=0",
        "DROP PROCEDURE app.many",
    )


def test_an_idle_applier_far_behind(pair):
    """What has not arrived gives the applier nothing to do, so that the server says a lag of 0."""
    pair.stop_replica()
    pair.change(HEARTBEAT_PERIOD=5)
    pair.start_replica()
    pair.settle()
    pair.replica.cut()
    write_many(pair, 5_000_000 if pair.mariadb else 10_500)
    # MariaDB's source is known to be silent only after a while, and this is not about that.
    result = both(pair, source_silence_wait=0)
    assert result["channels"][0]["lag"]["seconds"] == 0
    assert troubles(result) == {"lag_gtid": "fail" if pair.mariadb else "warn"}
    assert result["promotion"]["blockers"] == ["lag_gtid"]
    assert result["gtid"]["missing_count"] > 10_000
    pair.replica.cut(off=False)
    pair.settle(60)
    assert both(pair)["verdict"] == "ok"


def test_a_channel_that_does_not_exist(pair):
    result = both(pair, channel="primray")
    assert troubles(result) == {"channel": "fail"}
    assert "there is (default)" in check(result, "channel")["message"]
    assert troubles(both(pair, channel="")) == {}


def test_a_second_source_that_is_allowed(pair):
    third = pair.more(["--gtid-domain-id=7"] if pair.mariadb else [])
    third.sql("CREATE DATABASE other", "CREATE TABLE other.o (id INT PRIMARY KEY)", "INSERT INTO other.o VALUES (1)")
    settings = {"HOST": third.ip, "USER": lab.REPL_USER, "PASSWORD": lab.REPL_PASSWORD, "SSL": 1, "CONNECT_RETRY": 5}
    settings.update(SSL_CA="/tls/ca.pem", SSL_VERIFY_SERVER_CERT=1, HEARTBEAT_PERIOD=2)
    prefix = "MASTER" if pair.mariadb else "SOURCE"
    body = ", ".join(f"{prefix}_{key}={lab._literal(value)}" for key, value in settings.items())
    if pair.mariadb:
        pair.replica.sql(f"CHANGE MASTER 'extra' TO {body}, MASTER_USE_GTID=slave_pos", "START SLAVE 'extra'")
    else:
        pair.replica.sql(
            f"CHANGE REPLICATION SOURCE TO {body}, SOURCE_RETRY_COUNT=86400, SOURCE_AUTO_POSITION=1"
            " FOR CHANNEL 'extra'",
            "START REPLICA FOR CHANNEL 'extra'",
        )
    try:
        wait("the other table", lambda: has_other_table(pair))
        third.sql("INSERT INTO other.o VALUES (2)")
        # An account that only the other source knows is no matter of this primary.
        wait("its row", lambda: pair.replica.sql("SELECT 1 FROM other.o WHERE id = 2"))
        result = both(pair, allow_multi_source=True)
        assert (troubles(result), result["gtid"]["errant_count"]) == ({}, 0)
        pair.local_write("INSERT INTO app.t VALUES (901, 'errant')")
        assert troubles(both(pair, allow_multi_source=True)) == {"errant": "fail"}
    finally:
        if pair.mariadb:
            pair.replica.sql("STOP SLAVE 'extra'", "RESET SLAVE 'extra' ALL")


def has_other_table(pair):
    return pair.replica.sql("SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'other' AND TABLE_NAME = 'o'")


@pytest.mark.parametrize("zone", ["+05:00", "-08:00"])
def test_the_age_of_a_transaction_whatever_the_time_zone(pair, zone):
    servers = (pair.primary, pair.replica)
    for server in servers:
        server.sql(f"SET GLOBAL time_zone='{zone}'")
    try:
        with pair.replica.connect() as holder, holder.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.execute("BEGIN")
            cursor.execute("SELECT * FROM app.t")
            aged = wait_for_troubles({"long_transactions": "warn"}, lambda: both(pair, max_transaction_age=2))
            row = check(aged, "long_transactions")["observed"][0]
            assert 2 <= int(row["age"]) < 60
            result = both(pair)
        assert (result["verdict"], troubles(result)) == ("ok", {})
    finally:
        for server in servers:
            server.sql("SET GLOBAL time_zone='SYSTEM'")


def test_rows_that_differ_by_where_a_mark_stands(pair):
    pair.primary.sql("SET SESSION sql_log_bin=0", "GRANT SELECT ON app.* TO verify@'%'")
    pair.primary.sql(
        "CREATE TABLE app.two (id INT PRIMARY KEY, a VARCHAR(9), b VARCHAR(9))",
        "INSERT INTO app.two VALUES (1, 'x#', 'y'), (2, '', '#'), (3, 'same', '#')",
    )
    pair.settle()
    assert both(pair, compare=["app"])["verdict"] == "ok"
    pair.local_write(
        "UPDATE app.two SET a = 'x', b = '#y' WHERE id = 1", "UPDATE app.two SET a = '#', b = '' WHERE id = 2",
        binlog=False,
    )  # fmt: skip
    result = both(pair, compare=["app"])
    assert troubles(result) == {"compare": "fail"}
    assert [entry["range"] for entry in result["compare"]["different"]] == ["id from 1 to 2: 2 row(s) different"]


def test_a_dump_thread_of_the_host_itself(pair):
    third = pair.more(["--performance-schema=ON"] if pair.mariadb else [])
    program = "mariadb-binlog" if pair.mariadb else "mysqlbinlog"
    argv = [program, "--no-defaults", "--read-from-remote-server", "--stop-never", "--user=root"]
    argv += ["--socket=/run/mysqld/mysqld.sock", third.sql("SHOW BINARY LOGS")[0]["Log_name"]]
    if pair.mariadb:
        argv.insert(2, "--skip-ssl")
    dump = subprocess.Popen(["docker", "exec", third.name, *argv], stdout=subprocess.DEVNULL)
    listed = "SELECT CONNECTION_TYPE AS kind FROM performance_schema.threads WHERE PROCESSLIST_COMMAND LIKE 'Binlog%'"
    try:
        wait("the dump thread", lambda: [row["kind"] for row in third.sql(listed)] == ["Socket"])
        result = verify(role="primary", **local(third))
        assert troubles(result) == {}
    finally:
        dump.kill()
        dump.wait()


def test_an_expired_account_of_another_host(pair):
    auth = "IDENTIFIED BY 'Other-pass-1'"
    for host in ("192.0.2.9", f"172.31.{lab.LAB}.9"):
        pair.primary.sql("SET SESSION sql_log_bin=0", f"CREATE USER repl@'{host}' {auth}",
                         f"GRANT REPLICATION SLAVE ON *.* TO repl@'{host}'",
                         f"ALTER USER repl@'{host}' PASSWORD EXPIRE")  # fmt: skip
    assert troubles(both(pair)) == {}
    assert troubles(verify(role="primary", **local(pair.primary))) == {}
    pair.primary.sql("SET SESSION sql_log_bin=0", f"RENAME USER repl@'192.0.2.9' TO repl@'{pair.replica.ip}'")
    result = both(pair)
    assert troubles(result) == {"repl_account": "fail"}
    assert "expired" in check(result, "repl_account")["message"]
    assert troubles(verify(role="primary", **local(pair.primary))) == {"repl_account": "fail"}


def test_a_heartbeat_of_the_future(pair):
    pair.primary.sql(f"INSERT INTO app.heartbeat VALUES (UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, {pair.primary.number})")
    pair.settle()
    result = both(pair, heartbeat_table="app.heartbeat")
    assert (result["verdict"], troubles(result)) == ("unknown", {"lag_seconds": "unknown"})
    # Nor is it taken for the row of a probe, which cannot be written here.
    pair.primary.sql("SET SESSION sql_log_bin=0", "GRANT SELECT, INSERT, UPDATE ON app.heartbeat TO verify@'%'")
    pair.stop_replica("SQL_THREAD")
    assert both(pair, probe=True, heartbeat_table="app.heartbeat", max_lag=1, warn_lag=1)["probe"]["ok"] is False


def test_a_set_with_a_server_that_may_be_down(pair):
    pair.primary.stop()
    result = as_set(pair, connect_timeout=3, checks={"connect": "skip"})
    pair.primary.restart()
    assert result["topology"]["unreachable"] == ["db1"]
    assert "connect" not in result["reasons"]


@contextlib.contextmanager
def waiting_for_acknowledgement(pair, milliseconds):
    """Let the primary wait so long for a replica that never acknowledges, after it has sent what it writes."""
    side = "master" if pair.mariadb else "source"
    if not pair.mariadb:
        pair.primary.sql("SET SESSION sql_log_bin=0", "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
    point = f"rpl_semi_sync_{side}_wait_point={'AFTER_SYNC'!r}"
    alone = f"rpl_semi_sync_{side}_wait_no_{'slave' if pair.mariadb else 'replica'}=ON"
    pair.primary.sql(
        f"SET GLOBAL rpl_semi_sync_{side}_timeout={milliseconds}, {point}, {alone}",
        f"SET GLOBAL rpl_semi_sync_{side}_enabled=1",
    )
    writer = threading.Thread(target=pair.primary.sql, args=("INSERT INTO app.t VALUES (950, 'unacknowledged')",))
    writer.start()
    try:
        yield writer
    finally:
        writer.join()
        pair.primary.sql(f"SET GLOBAL rpl_semi_sync_{side}_enabled=0")
        if not pair.mariadb:
            pair.primary.sql("SET SESSION sql_log_bin=0", "UNINSTALL PLUGIN rpl_semi_sync_source")


def test_a_primary_that_waits_for_an_acknowledgement(pair):
    with waiting_for_acknowledgement(pair, 9000) as writer:
        wait("the row", lambda: pair.replica.has(950))
        result = both(pair)
        assert writer.is_alive(), "the primary still waits"
    assert (troubles(result), result["gtid"]["errant_count"]) == ({}, 0)
    pair.local_write("INSERT INTO app.t VALUES (902, 'errant')")
    assert troubles(both(pair)) == {"errant": "fail"}


def test_the_account_of_the_proof_can_judge_the_replication_account(pair):
    """With the privileges that the role mysql_primary gives it, and no others."""
    roles = yaml.safe_load((TOP / "roles/mysql_primary/vars/main.yml").read_text())
    engine = "mariadb" if pair.mariadb else "mysql"
    general = ", ".join(roles["__mysql_primary_privileges"][engine]["verification"])
    pair.primary.sql(
        "SET SESSION sql_log_bin=0",
        "CREATE USER proof@'%' IDENTIFIED BY 'Proof-pass-1' REQUIRE SSL",
        f"GRANT {general} ON *.* TO proof@'%'",
        "GRANT SELECT ON performance_schema.* TO proof@'%'",
        f"GRANT {roles['__mysql_primary_account_columns'][engine]} ON mysql.user TO proof@'%'",
    )
    login = {"primary_user": "proof", "primary_password": "Proof-pass-1"}
    result = both(pair, **{**remote(pair.primary), **login})
    assert (result["verdict"], result["coverage"], result["reasons"], result["not_judged"]) == ("ok", "full", [], [])
    assert check(result, "repl_account")["status"] == ("info" if pair.mariadb else "pass")
    pair.primary.sql("SET SESSION sql_log_bin=0", "ALTER USER repl@'%' PASSWORD EXPIRE")
    assert troubles(both(pair, **{**remote(pair.primary), **login})) == {"repl_account": "fail"}
    pair.primary.sql("SET SESSION sql_log_bin=0", "DROP USER repl@'%'")
    assert "does not exist" in check(both(pair, **{**remote(pair.primary), **login}), "repl_account")["message"]


def test_the_account_of_the_proof_is_made_once(pair):
    """Its columns of mysql.user are told by the server in an order and a case of its own."""
    roles = yaml.safe_load((TOP / "roles/mysql_primary/vars/main.yml").read_text())
    engine = "mariadb" if pair.mariadb else "mysql"
    privileges = {
        "*.*": roles["__mysql_primary_privileges"][engine]["verification"],
        "performance_schema.*": ["SELECT"],
        "mysql.user": [roles["__mysql_primary_account_columns"][engine]],
    }
    account = {"name": "proof", "password": "Proof-pass-1", "require_tls": True, "privileges": privileges}
    assert configure_accounts(pair.primary, accounts=[account])["changed"] is True
    assert configure_accounts(pair.primary, accounts=[account])["changed"] is False


def test_a_verdict_that_is_ok_has_no_reasons(pair):
    login = {"login_user": lab.MONITOR_USER, "login_password": lab.MONITOR_PASSWORD, "login_host": pair.replica.ip}
    result = verify(role="replica", ca_cert=str(lab.ROOT / "tls" / "ca.pem"), **login, **remote(pair.primary))
    assert (result["verdict"], result["coverage"], result["reasons"]) == ("ok", "partial", [])
    assert "long_transactions" in result["not_judged"]
    assert "GRANT PROCESS ON *.*" in check(result, "long_transactions")["hint"]
    assert pair.replica.channel()["Replica_IO_Running"] == "Yes"
