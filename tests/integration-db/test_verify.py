"""Each fault, really produced, gives exactly its rule; the healthy pair gives none."""

from __future__ import annotations

import os
import shutil
import threading
import time

import lab
import pymysql
import pytest
from conftest import as_set, both, check, local, remote, troubles, verify, wait_for_troubles, wait_until_ok
from waiting import wait

# Seconds without a word: more than the 2.5 heartbeats and 2 s from which on it is told, and less than the 10 s after
# which the server itself gives the connection up.
SILENCE = 7.5


def test_healthy_pair_is_healthy(pair):
    result = both(pair)
    assert (result["verdict"], result["coverage"], result["reasons"]) == ("ok", "full", [])
    assert result["promotion"]["promotable"] is True
    assert result["gtid"]["missing_count"] == 0
    assert {c["status"] for c in result["checks"]} <= {"pass", "info"}


def test_healthy_primary_is_healthy(pair):
    names = [str(pair.replica.number), pair.replica.ip]
    result = verify(role="primary", expected_replicas=names, **local(pair.primary))
    assert (result["verdict"], result["reasons"]) == ("ok", [])
    assert result["role"]["observed"] == "primary"


def test_replica_alone_is_ok_but_partial(pair):
    result = verify(role="replica", **local(pair.replica))
    assert (result["verdict"], result["coverage"]) == ("ok", "partial")


def test_row_conflict(pair):
    pair.local_write("INSERT INTO app.t VALUES (50, 'mine')", binlog=False)
    pair.primary.sql("INSERT INTO app.t VALUES (50, 'theirs')")
    pair.wait_for_stopped_applier()
    result = both(pair)
    assert troubles(result) == {"sql_thread": "fail"}
    found = check(result, "sql_thread")
    assert found["observed"]["errno"] == 1062
    assert found["observed"]["table"] == "app.t"
    assert "duplicate entry '50'" in found["message"]
    assert "Do not skip" in found["hint"]
    assert result["promotion"]["promotable"] is False
    assert result["channels"][0]["lag"]["seconds"] is None


def test_missing_row(pair):
    pair.local_write("DELETE FROM app.t WHERE id = 2", binlog=False)
    pair.primary.sql("UPDATE app.t SET v = 'zwei' WHERE id = 2")
    pair.wait_for_stopped_applier()
    result = both(pair)
    assert troubles(result) == {"sql_thread": "fail"}
    assert check(result, "sql_thread")["observed"]["errno"] == 1032
    assert "app.t" in result["summary"]


def test_missing_table(pair):
    pair.local_write("DROP TABLE app.t", binlog=False)
    pair.primary.sql("INSERT INTO app.t VALUES (60, 'x')")
    pair.wait_for_stopped_applier()
    result = both(pair)
    assert troubles(result) == {"sql_thread": "fail"}
    assert check(result, "sql_thread")["observed"]["errno"] == 1146


def test_receiver_stopped(pair):
    pair.stop_replica("IO_THREAD")
    result = both(pair)
    assert troubles(result) == {"io_thread": "fail"}
    assert "somebody stopped it" in result["summary"]
    assert result["channels"][0]["lag"]["seconds"] is None


def test_applier_stopped(pair):
    pair.stop_replica("SQL_THREAD")
    assert troubles(both(pair)) == {"sql_thread": "fail"}


def test_wrong_password(pair):
    pair.stop_replica()
    pair.change(PASSWORD="wrong")
    pair.start_replica()
    wait("the error of the login", lambda: pair.replica.channel()["Last_IO_Errno"] == 1045)
    result = both(pair)
    assert troubles(result) == {"io_thread": "fail"}
    assert "refuses the password" in result["summary"]
    assert check(result, "io_thread")["can_heal"] is False


def test_expired_password(pair):
    pair.stop_replica()
    pair.primary.sql("SET SESSION sql_log_bin=0", "ALTER USER repl@'%' PASSWORD EXPIRE")
    pair.start_replica()
    pair.wait_for_receiver_error()
    result = both(pair)
    assert troubles(result) == {"io_thread": "fail", "repl_account": "fail"}
    assert "expired" in check(result, "repl_account")["message"]


def test_password_expiring_soon_is_a_warning(pair):
    pair.primary.sql("SET SESSION sql_log_bin=0", "ALTER USER repl@'%' PASSWORD EXPIRE INTERVAL 5 DAY")
    assert troubles(both(pair)) == {"repl_account": "warn"}


def test_replication_account_absent_on_the_replica_blocks_promotion(pair):
    pair.local_write("DROP USER repl@'%'", binlog=False)
    result = both(pair)
    assert troubles(result) == {"repl_account_here": "warn"}
    assert result["promotion"] == {"promotable": False, "blockers": ["repl_account_here"], "warnings": []}
    strict = both(pair, require_promotable=True)
    assert strict["verdict"] == "critical"
    assert troubles(strict) == {"promotable": "fail", "repl_account_here": "warn"}


def test_source_down(pair):
    pair.primary.stop()
    pair.wait_for_receiver_error()
    result = both(pair)
    assert troubles(result) == {"io_thread": "fail", "primary_reachable": "fail"}
    assert check(result, "io_thread")["can_heal"] is True
    pair.primary.restart()
    assert both(pair, wait_for="healthy", wait_timeout=30)["verdict"] == "ok"


def test_source_frozen(pair):
    pair.primary.pause()
    time.sleep(SILENCE)
    assert pair.replica.channel()["Seconds_Behind_Source"] == 0, "the server itself notices nothing"
    result = verify(role="replica", **local(pair.replica))
    assert troubles(result) == {"source_silent": "fail"}
    assert "frozen or the network is cut" in result["summary"]


def test_network_cut(pair):
    pair.primary.cut()
    time.sleep(SILENCE)
    result = both(pair, connect_timeout=2)
    found = troubles(result)
    assert found.pop("primary_reachable") == "fail"
    assert found == {"source_silent": "fail"}


def test_errant_transaction(pair):
    pair.local_write("INSERT INTO app.t VALUES (900, 'errant')")
    result = both(pair)
    assert troubles(result) == {"errant": "fail"}
    assert result["promotion"]["blockers"] == ["errant"]
    if not pair.mariadb:
        uuid = pair.replica.value("SELECT @@server_uuid")
        assert result["gtid"]["errant"].startswith(uuid)
        assert both(pair, ignore_errant_uuids=[uuid])["verdict"] == "ok"
    assert both(pair, allow_errant=True)["verdict"] == "ok"


def test_writable_replica(pair):
    if pair.mariadb:
        pair.replica.sql("SET GLOBAL read_only=OFF")
        expected = {"read_only": "fail", "boot_read_only": "warn"}
    else:
        pair.replica.sql("SET GLOBAL read_only=OFF")
        expected = {"read_only": "fail", "super_read_only": "fail"}
    result = both(pair)
    if pair.mariadb:
        pair.replica.sql("SET GLOBAL read_only=ON")
    assert troubles(result) == expected


def test_super_read_only_alone(pair):
    if pair.mariadb:
        pytest.skip("MariaDB has no super_read_only")
    pair.replica.sql("SET GLOBAL super_read_only=OFF")
    assert troubles(both(pair)) == {"super_read_only": "fail"}


def test_read_only_that_a_restart_would_lose(pair):
    third = pair.more()
    third.follow(pair.primary)
    third.sql("SET GLOBAL read_only=ON" if pair.mariadb else "SET GLOBAL super_read_only=ON")
    wait_for_troubles({"boot_read_only": "warn"}, lambda: both(pair, **local(third)))
    assert both(pair, boot_read_only=True, **local(third))["verdict"] == "ok"


def test_wrong_source(pair):
    third = pair.more()
    third.follow(pair.primary)
    assert both(pair, login_unix_socket=third.socket, wait_for="caught_up", fail_on="never")["wait"]["reached"]
    pair.stop_replica()
    pair.change(HOST=third.ip)
    pair.start_replica()
    pair.primary.sql("INSERT INTO app.t VALUES (70, 'x')")
    wait("the row", lambda: pair.replica.has(70))
    expected = {"source_identity": "fail"}
    wait_for_troubles(expected, lambda: both(pair))
    assert troubles(both(pair, expected_source_host=pair.primary.ip, primary_host=third.ip)) == expected


def test_filter(pair):
    pair.stop_replica("SQL_THREAD")
    if pair.mariadb:
        pair.stop_replica()
        pair.replica.sql("SET GLOBAL replicate_ignore_db='junk'")
        pair.start_replica()
    else:
        pair.replica.sql("CHANGE REPLICATION FILTER REPLICATE_IGNORE_DB=(junk)")
        pair.start_replica("SQL_THREAD")
    wait("the receiver to have no error", lambda: not pair.replica.channel()["Last_IO_Errno"])
    pair.settle()
    result = wait_for_troubles({"filters": "fail"}, lambda: both(pair))
    assert "junk" in result["summary"]
    assert both(pair, allow_filters=True)["verdict"] == "ok"


def test_binlog_filter_on_the_primary(pair):
    third = pair.more(["--binlog-ignore-db=junk"])
    result = verify(role="primary", **local(third))
    assert troubles(result) == {"binlog_filters": "fail"}


def test_plain_text_channel(pair):
    pair.stop_replica()
    if pair.mariadb:
        pair.change(SSL=0, SSL_VERIFY_SERVER_CERT=0)
    else:
        pair.change(SSL=0, SSL_VERIFY_SERVER_CERT=0)
        pair.replica.sql("CHANGE REPLICATION SOURCE TO GET_SOURCE_PUBLIC_KEY=1")
    pair.start_replica()
    pair.settle()
    result = both(pair)
    assert troubles(result) == ({"tls": "fail"} if pair.mariadb else {"tls": "fail", "tls_in_use": "fail"})
    assert both(pair, require_tls=False)["verdict"] == "ok"


def test_unverified_certificate(pair):
    pair.stop_replica()
    pair.change(SSL_VERIFY_SERVER_CERT=0)
    pair.start_replica()
    pair.settle()
    assert troubles(both(pair)) == {}
    assert check(both(pair), "tls_verify")["status"] == "info"
    strict = both(pair, require_tls_verify=True)
    assert troubles(strict) == {"tls_verify": "warn"}


def test_duplicate_server_id(pair):
    pair.replica.sql(f"SET GLOBAL server_id={pair.primary.number}")
    result = both(pair)
    assert troubles(result) == {"server_id_unique": "fail"}


def test_duplicate_server_uuid(pair):
    if pair.mariadb:
        pytest.skip("MariaDB has no server_uuid that matters to replication")
    third = pair.more()
    third.stop()
    (third.data_dir / "auto.cnf").write_text((pair.primary.data_dir / "auto.cnf").read_text())
    third.restart()
    third.follow(pair.primary)
    wait("the source to refuse it", lambda: third.channel()["Last_IO_Errno"])
    result = both(pair, **local(third), require_read_only=False, require_super_read_only=False,
                  require_boot_read_only=False)  # fmt: skip
    assert troubles(result) == {"server_id_unique": "fail", "io_thread": "fail"}
    assert "auto.cnf" in check(result, "io_thread")["hint"]


def _purge(pair):
    pair.primary.sql("INSERT INTO app.t VALUES (80, 'lost')", "FLUSH BINARY LOGS")
    for number in (81, 82):
        pair.primary.sql(f"INSERT INTO app.t VALUES ({number}, 'lost')", "FLUSH BINARY LOGS")
    last = [next(iter(r.values())) for r in pair.primary.sql("SHOW BINARY LOGS")][-1]

    def purged():
        # A log that is still being sent stays, without an error.
        pair.primary.sql(f"PURGE BINARY LOGS TO '{last}'")
        return len(pair.primary.sql("SHOW BINARY LOGS")) == 1

    wait("the logs to be purged", purged)


def test_purged_logs_are_seen_before_they_break(pair):
    pair.stop_replica("IO_THREAD")
    _purge(pair)
    result = both(pair)
    assert troubles(result) == {"io_thread": "fail", "purge_horizon": "fail"}
    assert result["gtid"]["unrecoverable"]
    pair.start_replica("IO_THREAD")
    pair.wait_for_receiver_error()
    after = both(pair)
    assert troubles(after) == {"io_thread": "fail", "purge_horizon": "fail"}
    assert "purged binary logs" in check(after, "io_thread")["message"]
    assert check(after, "io_thread")["can_heal"] is False


def test_exhausted_retries(pair):
    if pair.mariadb:
        third = pair.more(["--master-retry-count=2", "--read-only=ON"])
        third.follow(pair.primary, MASTER_CONNECT_RETRY=1)
        server = third
    else:
        pair.stop_replica()
        pair.change(CONNECT_RETRY=1, RETRY_COUNT=2)
        pair.start_replica()
        server = pair.replica
    pair.primary.stop()

    def given_up():
        seen = server.channel()
        return seen["Replica_IO_Running"] == "No" and seen["Last_IO_Errno"]

    wait("the receiver to give up", given_up)
    result = verify(role="replica", **local(server))
    pair.primary.restart()
    found = troubles(result)
    assert found == {"io_thread": "fail", "retry_window": "warn"}
    assert "given up" in check(result, "io_thread")["message"]


def test_short_retry_budget(pair):
    if pair.mariadb:
        pytest.skip("the retry count of a channel is not visible before MariaDB 12")
    pair.stop_replica()
    pair.change(CONNECT_RETRY=60, RETRY_COUNT=10)
    pair.start_replica()
    pair.settle()
    assert troubles(both(pair)) == {"retry_window": "warn"}


def test_delayed_replica(pair):
    pair.stop_replica("SQL_THREAD" if not pair.mariadb else "")
    pair.change(DELAY=3600)
    pair.start_replica()
    pair.wait_for_receiver()
    wait_for_troubles({"delay": "warn"}, lambda: both(pair))
    pair.primary.sql("INSERT INTO app.t VALUES (90, 'later')")
    # Long enough for it to be applied, were it not held back.
    time.sleep(2.5)
    assert troubles(both(pair, expected_delay=3600)) == {}
    assert not pair.replica.has(90), "the delay is real"


def test_long_transaction_blocks_the_applier(pair):
    with pair.replica.connect() as holder, holder.cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()")
        session = next(iter(cursor.fetchone()))
        if not pair.mariadb:
            pair.replica.sql("SET GLOBAL super_read_only=OFF")
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM app.t WHERE id = 1 FOR UPDATE")
        if not pair.mariadb:
            pair.replica.sql("SET GLOBAL super_read_only=ON")
        pair.primary.sql("UPDATE app.t SET v = 'blocked' WHERE id = 1")
        expected = {"applier_blocked": "fail", "long_transactions": "warn", "lag_seconds": "fail"}
        result = wait_for_troubles(expected, lambda: both(pair, max_transaction_age=2, max_lag=2, warn_lag=1))
        milder = both(pair)
    assert f"KILL {session}" in check(result, "applier_blocked")["hint"]
    assert troubles(milder) == {"applier_blocked": "warn"}
    pair.settle()
    after = both(pair)
    assert after["verdict"] == "ok", after["summary"]


def test_reader_blocks_a_change_of_its_table(pair):
    if pair.mariadb:
        pytest.skip("MariaDB shows metadata locks only with a plugin")
    with pair.replica.connect() as holder, holder.cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()")
        session = next(iter(cursor.fetchone()))
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM app.t")
        pair.primary.sql("ALTER TABLE app.t ADD COLUMN more INT")
        # Until then the table has a column less here, and nobody can say whether that is all.
        expected = {"applier_blocked": "warn", "table_definitions": "unknown"}
        result = wait_for_troubles(expected, lambda: both(pair))
    assert f"table lock held by session {session}" in check(result, "applier_blocked")["message"]
    pair.settle()


def test_table_without_primary_key(pair):
    pair.primary.sql("CREATE TABLE app.nokey (a INT)")
    pair.settle()
    result = both(pair)
    assert troubles(result) == {"primary_keys": "warn"}
    assert "app.nokey" in result["summary"]


def test_durability(pair):
    pair.primary.sql("SET GLOBAL sync_binlog=0")
    try:
        assert troubles(verify(role="primary", **local(pair.primary))) == {"durability": "warn"}
    finally:
        pair.primary.sql("SET GLOBAL sync_binlog=1")


def test_short_retention(pair):
    pair.primary.sql("SET GLOBAL binlog_expire_logs_seconds=600")
    try:
        assert troubles(verify(role="primary", **local(pair.primary))) == {"retention": "warn"}
    finally:
        pair.primary.sql("SET GLOBAL binlog_expire_logs_seconds=2592000")


def test_file_and_position_channel(pair):
    pair.stop_replica()
    if pair.mariadb:
        pair.replica.sql("CHANGE MASTER TO MASTER_USE_GTID=no")
    else:
        pair.replica.sql("CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=0")
    pair.start_replica()
    pair.wait_for_receiver()
    wait_for_troubles({"auto_position": "fail"}, lambda: both(pair))


def test_wrong_role(pair):
    result = verify(role="replica", **local(pair.primary))
    assert troubles(result).keys() <= {"role", "read_only", "super_read_only", "boot_read_only"}
    assert "No replication channel" in result["summary"]
    result = verify(role="primary", **local(pair.replica))
    assert troubles(result) == {"role": "fail", "writable": "fail"}


def test_primary_that_is_read_only(pair):
    pair.primary.sql("SET GLOBAL read_only=ON")
    try:
        assert troubles(verify(role="primary", **local(pair.primary))) == {"writable": "fail"}
    finally:
        pair.primary.sql("SET GLOBAL read_only=OFF")


def test_replica_that_is_not_attached(pair):
    pair.stop_replica("IO_THREAD")

    # The primary notices the missing connection when it next writes to it.
    pair.primary.sql("INSERT INTO app.t VALUES (95, 'x')")
    options = {"role": "primary", "expected_replicas": [str(pair.replica.number)], **local(pair.primary)}
    wait_for_troubles({"replicas_attached": "fail"}, lambda: verify(**options))


def test_unexpected_second_channel(pair):
    if pair.mariadb:
        pair.replica.sql(f"CHANGE MASTER 'extra' TO MASTER_HOST='172.31.{lab.LAB}.9', MASTER_USER='x', MASTER_SSL=1")
    else:
        pair.replica.sql(f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='172.31.{lab.LAB}.9' FOR CHANNEL 'extra'")
    result = both(pair, channel="")
    assert troubles(result) == {"channels_unexpected": "fail"}
    assert both(pair, channel="", allow_multi_source=True)["verdict"] == "ok"
    if pair.mariadb:
        pair.replica.sql("RESET SLAVE 'extra' ALL")


def _semi_sync(pair, on):
    if pair.mariadb:
        pair.primary.sql(f"SET GLOBAL rpl_semi_sync_master_timeout=200, rpl_semi_sync_master_enabled={on}")
        pair.replica.sql(f"SET GLOBAL rpl_semi_sync_slave_enabled={on}")
    elif on:
        pair.primary.sql(
            "SET SESSION sql_log_bin=0",
            "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
            "SET GLOBAL rpl_semi_sync_source_enabled=1, rpl_semi_sync_source_timeout=200",
        )
        pair.local_write(
            "INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'",
            "SET GLOBAL rpl_semi_sync_replica_enabled=1",
            binlog=False,
        )
    else:
        pair.stop_replica()
        pair.local_write("UNINSTALL PLUGIN rpl_semi_sync_replica", binlog=False)
        for row in pair.primary.sql("SHOW PROCESSLIST"):
            if row["Command"].startswith("Binlog Dump"):
                pair.primary.sql(f"KILL {row['Id']}")

        def uninstalled():
            try:
                pair.primary.sql("SET SESSION sql_log_bin=0", "UNINSTALL PLUGIN rpl_semi_sync_source")
            except pymysql.err.MySQLError:
                return False
            return True

        wait("the plugin to be uninstalled", uninstalled)


def test_semi_sync_silently_degraded(pair):
    assert troubles(verify(role="primary", require_semi_sync=True, **local(pair.primary))) == {"semi_sync": "fail"}
    _semi_sync(pair, 1)
    try:
        found = both(pair)
        assert troubles(found) == {"semi_sync": "warn"}, "the receiver was not restarted yet"
        pair.stop_replica("IO_THREAD")
        pair.start_replica("IO_THREAD")
        wait_until_ok(lambda: both(pair))
        required = wait_for_troubles(
            {"semi_sync": "warn"}, lambda: verify(role="primary", require_semi_sync=True, **local(pair.primary))
        )
        assert "a switchover would end semi-synchronous replication" in required["summary"]
        pair.stop_replica("IO_THREAD")
        pair.primary.sql("INSERT INTO app.t VALUES (99, 'unconfirmed')")
        result = verify(role="primary", **local(pair.primary))
        assert troubles(result) == {"semi_sync": "warn"}
        assert "silently degraded" in result["summary"]
    finally:
        _semi_sync(pair, 0)


def test_relay_log_disk_full(pair, tmp_path):
    place = lab.DATA / f"small-{pair.engine}"
    place.mkdir(parents=True, exist_ok=True)
    lab.run_as_root(pair.engine, "mount", "-t", "tmpfs", "-o", "size=12m,mode=0777", "tmpfs", str(place))
    try:
        read_only = "--read-only=ON" if pair.mariadb else "--super-read-only=OFF"
        third = pair.more(
            [f"--relay-log={place}/relay", "--max-relay-log-size=4M", read_only], volumes=[f"{place}:{place}"]
        )
        third.follow(pair.primary)
        third.sql("STOP SLAVE SQL_THREAD" if pair.mariadb else "STOP REPLICA SQL_THREAD")
        healthy = {"require_read_only": False, "require_super_read_only": False, "require_boot_read_only": False}
        assert "disk_free" not in troubles(both(pair, **local(third), **healthy))
        pair.primary.sql(
            "CREATE TABLE app.big (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)",
            *["INSERT INTO app.big (b) VALUES (REPEAT(RAND(), 60000))"] * 16,
        )

        def found():
            return troubles(verify(role="replica", **local(third), **healthy))

        wait("the alarm", lambda: found().get("disk_free") == "fail")
        # The receiver goes on until the next event, of about a megabyte, does not fit.
        wait("the disk to be full", lambda: shutil.disk_usage(place).free < 2**21)
        # MariaDB does not even answer SHOW ... STATUS then.
        assert set(found()) <= {"disk_free", "sql_thread", "source_silent", "io_thread", "role"}
        assert found()["disk_free"] == "fail"
    finally:
        if pair.third:
            pair.third.remove()
            pair.third = None
        lab.run_as_root(pair.engine, "umount", "-l", str(place))


def test_silently_differing_row(pair):
    options = {"compare": ["app"]}
    pair.primary.sql("SET SESSION sql_log_bin=0", "GRANT SELECT ON app.* TO verify@'%'")
    assert both(pair, **options)["verdict"] == "ok"
    pair.local_write(
        "UPDATE app.t SET v = NULL WHERE id = 1", "DELETE FROM app.t WHERE id = 2",
        "INSERT INTO app.t VALUES (1000, 'only here')", binlog=False,
    )  # fmt: skip
    result = both(pair, **options)
    assert troubles(result) == {"compare": "fail"}
    assert [d["range"] for d in result["compare"]["different"]] == [
        "id = 1: 1 row(s) different",
        "id = 2: 1 row(s) missing here",
        "id = 1000: 1 row(s) only here",
    ]


def test_comparison_of_all_kinds_of_columns_and_keys(pair):
    pair.primary.sql("SET SESSION sql_log_bin=0", "GRANT SELECT ON app.* TO verify@'%'")
    pair.primary.sql(
        "CREATE TABLE app.mixed (a VARBINARY(8), b INT, l VARCHAR(20) CHARACTER SET latin1, k VARCHAR(20) CHARACTER SET"
        " koi8r, j JSON, f DOUBLE, t TIMESTAMP NULL, n DECIMAL(20,6), bits BIT(9), `o``dd%` TEXT, PRIMARY KEY (a, b))",
        *[
            f"INSERT INTO app.mixed VALUES"
            f" (x'{n % 7:02x}ff00', {n}, 'x', 'y', '[{n}]', {n} / 3, NOW(), {n}.5, {n}, NULL)"
            for n in range(300)
        ],
        "CREATE TABLE app.nokey (a INT, b VARCHAR(9))",
        "INSERT INTO app.nokey VALUES (1, NULL), (2, '')",
    )
    pair.settle()
    options = {"compare": ["app"], "compare_chunk_rows": 40, "checks": {"primary_keys": "skip"}}
    same = both(pair, **options)
    assert (same["verdict"], same["compare"]["different"]) == ("ok", []), same["summary"]
    pair.local_write(
        "UPDATE app.mixed SET `o``dd%` = '' WHERE b = 150", "DELETE FROM app.nokey WHERE a = 1", binlog=False
    )
    found = {(d["table"], d["rows"]) for d in both(pair, **options)["compare"]["different"]}
    assert found == {("app.mixed", 1), ("app.nokey", 1)}


def test_comparison_under_writes_finds_nothing_wrong(pair):
    pair.primary.sql("SET SESSION sql_log_bin=0", "GRANT SELECT ON app.* TO verify@'%'")
    pair.primary.sql(*[f"INSERT INTO app.t VALUES ({n}, 'x')" for n in range(100, 400)])
    with Writer(pair.primary, 100, "UPDATE app.t SET v = RAND() WHERE id BETWEEN 100 AND 105"):
        for _round in range(3):
            result = both(pair, compare=["app"], compare_chunk_rows=50)
            assert result["compare"]["different"] == []


class Writer:
    """Writes steadily from a thread of its own."""

    def __init__(self, server, per_second, statement="INSERT INTO app.w (v) VALUES (RAND())"):
        self.server, self.pause, self.statement = server, 1.0 / per_second, statement
        self.stopping, self.count = threading.Event(), 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with self.server.connect() as connection, connection.cursor() as cursor:
            due = time.monotonic()
            while not self.stopping.is_set():
                cursor.execute(self.statement)
                self.count += 1
                due += self.pause
                time.sleep(max(0.0, due - time.monotonic()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        self.stopping.set()
        self.thread.join()


@pytest.mark.parametrize("semi_sync", [False, True], ids=["async", "semi_sync"])
def test_no_false_alarm_under_writes(pair, semi_sync):
    """A semi-synchronous replica may hold a transaction before its primary has committed it."""
    seconds = float(os.environ.get("REPLTEST_SOAK", "15"))
    pair.primary.sql("CREATE TABLE app.w (id INT PRIMARY KEY AUTO_INCREMENT, v DOUBLE)")
    if semi_sync:
        _semi_sync(pair, 1)
        pair.stop_replica("IO_THREAD")
        pair.start_replica("IO_THREAD")
        wait_until_ok(lambda: both(pair))
    pair.settle()
    alarms, asked = [], 0
    try:
        with Writer(pair.primary, 500) as writer:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                result = both(pair)
                asked += 1
                if result["verdict"] != "ok":
                    alarms.append(result["summary"])
                time.sleep(0.9)
    finally:
        if semi_sync:
            _semi_sync(pair, 0)
    assert alarms == []
    assert asked >= seconds / 2.5
    assert writer.count > 100 * seconds


def test_missing_grants_are_unknown_with_the_grant(pair):
    auth = "IDENTIFIED BY 'Bare-pass-1'"
    pair.local_write(f"CREATE USER bare@'%' {auth}", binlog=False)
    login = {"login_user": "bare", "login_password": "Bare-pass-1", "login_host": pair.replica.ip}
    result = verify(role="replica", **login)
    assert result["verdict"] == "unknown"
    found = check(result, "role")
    assert found["status"] == "unknown"
    grant = "SLAVE MONITOR" if pair.mariadb else "REPLICATION CLIENT"
    assert found["hint"] == f"Run on {pair.replica.ip}:3306: GRANT {grant} ON *.* TO 'bare'@'%';"
    pair.local_write(f"GRANT {grant} ON *.* TO bare@'%'", binlog=False)
    second = verify(role="replica", **login)
    if pair.mariadb:
        assert check(second, "role")["status"] == "pass"
    else:
        assert check(second, "source_silent")["status"] == "unknown"
        assert "GRANT SELECT ON performance_schema.* TO 'bare'@'%';" in check(second, "source_silent")["hint"]


def test_least_privilege_is_enough_for_a_verdict(pair):
    login = {
        "login_user": lab.MONITOR_USER, "login_password": lab.MONITOR_PASSWORD, "login_host": pair.replica.ip,
        "ca_cert": str(lab.ROOT / "tls" / "ca.pem"),
    }  # fmt: skip
    result = verify(role="replica", **login, **remote(pair.primary))
    assert result["verdict"] == "ok"
    assert "long_transactions" in result["not_judged"], "what needs PROCESS is said to be unknown"


# --- sets -----------------------------------------------------------------------------------------------------------


def test_set_tells_who_is_primary(pair):
    third = pair.more(["--read-only=ON"] if pair.mariadb else [])
    third.follow(pair.replica)
    if not pair.mariadb:
        third.sql("SET PERSIST super_read_only=ON")
    pair.primary.sql("INSERT INTO app.t VALUES (300, 'chain')")
    wait("the row", lambda: third.has(300))
    result = wait_until_ok(lambda: as_set(pair, "db1", "db2", "db3", expected_primary="db1"))
    tree = result["topology"]
    assert (tree["primary"], tree["writable"]) == ("db1", ["db1"])
    assert tree["replicas"] == {"db1": ["db2"], "db2": ["db3"]}


def test_set_with_two_writers(pair):
    pair.replica.sql("SET GLOBAL read_only=OFF")
    result = as_set(pair)
    if pair.mariadb:
        pair.replica.sql("SET GLOBAL read_only=ON")
    assert result["verdict"] == "critical"
    assert check(result, "single_writer")["observed"] == ["db1", "db2"]
    assert result["reasons"][0] == "single_writer"


def test_set_without_writer(pair):
    pair.primary.sql("SET GLOBAL read_only=ON")
    try:
        result = as_set(pair)
    finally:
        pair.primary.sql("SET GLOBAL read_only=OFF")
    assert check(result, "single_writer")["status"] == "fail"
    assert result["topology"]["primary"] == "db1", "the root of the tree is still told"


def test_set_with_a_server_down(pair):
    pair.primary.stop()
    result = as_set(pair, connect_timeout=3)
    pair.primary.restart()
    assert result["verdict"] == "critical"
    assert result["topology"]["unreachable"] == ["db1"]
    assert {"connect", "single_writer"} <= set(result["reasons"])


# --- waiting and probing --------------------------------------------------------------------------------------------


def test_wait_for_caught_up(pair):
    pair.stop_replica("SQL_THREAD")
    pair.primary.sql(*[f"INSERT INTO app.t VALUES ({n}, 'w')" for n in range(400, 420)])
    later = threading.Timer(1.0, pair.start_replica)
    pair.start_replica()
    later.start()
    result = both(pair, wait_for="caught_up", wait_timeout=20)
    later.join()
    assert result["wait"]["reached"] is True
    assert pair.replica.value("SELECT COUNT(*) FROM app.t WHERE id >= 400") == 20


def test_wait_gives_up_at_once_on_a_stopped_applier(pair):
    pair.local_write("INSERT INTO app.t VALUES (50, 'mine')", binlog=False)
    pair.primary.sql("INSERT INTO app.t VALUES (50, 'theirs')")
    pair.wait_for_stopped_applier()
    began = time.monotonic()
    for kind in ("caught_up", "healthy"):
        result = both(pair, wait_for=kind, wait_timeout=30)
        assert result["wait"]["reached"] is False
        assert "sql_thread" in result["wait"]["last"]
    assert time.monotonic() - began < 10


def test_wait_for_healthy_sees_the_source_come_back(pair):
    pair.primary.stop()
    pair.wait_for_receiver_error()
    starter = threading.Timer(1.5, pair.primary.restart)
    starter.start()
    result = both(pair, wait_for="healthy", wait_timeout=40)
    starter.join()
    assert result["wait"]["reached"] is True, result["wait"]
    assert result["wait"]["elapsed_s"] >= 1


def test_wait_times_out(pair):
    pair.stop_replica("SQL_THREAD" if not pair.mariadb else "")
    pair.change(DELAY=3600)
    pair.start_replica()
    pair.primary.sql("INSERT INTO app.t VALUES (500, 'late')")
    began = time.monotonic()
    result = both(pair, wait_for="caught_up", wait_timeout=3, expected_delay=3600)
    assert result["wait"]["reached"] is False
    assert 2.5 < time.monotonic() - began < 12


def test_probe_measures_and_fails(pair):
    pair.primary.sql("SET SESSION sql_log_bin=0", "GRANT SELECT, INSERT, UPDATE ON app.heartbeat TO verify@'%'")
    options = {"probe": True, "heartbeat_table": "app.heartbeat"}
    result = both(pair, **options)
    assert result["probe"]["ok"] is True
    assert 0 < result["probe"]["latency_ms"] < 2000
    assert troubles(result) == {}
    pair.stop_replica("SQL_THREAD")
    broken = both(pair, **options, max_lag=1, warn_lag=1)
    assert broken["probe"]["ok"] is False
    assert troubles(broken)["probe"] == "fail"


def test_heartbeat_table_is_the_truth_about_lag(pair):
    pair.primary.sql(f"INSERT INTO app.heartbeat VALUES (UTC_TIMESTAMP(6) - INTERVAL 60 SECOND, {pair.primary.number})")
    pair.settle()
    result = both(pair, heartbeat_table="app.heartbeat")
    assert troubles(result) == {"lag_seconds": "fail"}
    assert result["channels"][0]["lag"]["source"] == "heartbeat"


# --- bad input ------------------------------------------------------------------------------------------------------


def test_wrong_credentials(pair):
    result = verify(login_user="nobody", login_password="x", login_host=pair.replica.ip)
    assert result["reasons"] == ["connect"]
    assert "refused the login of 'nobody'" in result["summary"]


def test_unreachable_host(pair):
    result = verify(login_user="x", login_host=f"172.31.{lab.LAB}.250", connect_timeout=2)
    assert result["reasons"] == ["connect"]
    assert f"172.31.{lab.LAB}.250:3306" in result["summary"]


def test_accepting_but_hanging_server(pair):
    pair.primary.pause()
    began = time.monotonic()
    result = verify(login_user="x", login_host=pair.primary.ip, connect_timeout=2, read_timeout=2)
    assert "did not answer within 2 s" in result["summary"]
    assert time.monotonic() - began < 6


def test_foreign_certificate_is_refused(pair, tmp_path):
    lab.run("sh", "-ec", "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout k.pem -out ca.pem",
            cwd=tmp_path)  # fmt: skip
    result = both(pair, primary_ca_cert=str(tmp_path / "ca.pem"))
    assert troubles(result) == {"primary_reachable": "fail"}
    assert "TLS" in result["summary"]
