# SPDX-License-Identifier: GPL-3.0-or-later
"""What is collected from a server is what it says; what it refuses is noted with the grant that opens it."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import (
    Connection,
    ConnectionOptions,
    DatabaseError,
)
from ansible_collections.pentad.webstack.plugins.module_utils.replication import facts
from scripted_mysql import LOST, Pair, error

ENGINES = ["mysql97", "mariadb1011", "mariadb118"]
# Known only to the host itself, or found out by watching.
ELSEWHERE = {"name", "address", "disk", "quiet_for", "clock", "replication_account", "certificate_left"}


@pytest.fixture(params=ENGINES)
def pair(request, network, clock) -> Pair:
    """A recorded replica and its primary."""
    return Pair(request.param, network, clock)


@pytest.fixture
def mysql(network, clock) -> Pair:
    """Such a pair of MySQL."""
    return Pair("mysql97", network, clock)


@pytest.fixture
def mariadb(network, clock) -> Pair:
    """Such a pair of MariaDB."""
    return Pair("mariadb118", network, clock)


def collector(socket: str = Pair.REPLICA) -> facts.Collector:
    """A collector for the server at this socket."""
    return facts.Collector(Connection(ConnectionOptions(user="root", unix_socket=socket)))


def over_tcp() -> facts.Collector:
    """A collector for the primary, which is reached over the network."""
    return facts.Collector(Connection(ConnectionOptions(user="verify", host="db1")))


@pytest.fixture
def no_option_files(monkeypatch):
    """A host without the program that reads option files."""
    monkeypatch.setattr(facts.shutil, "which", lambda _name: None)


# --- everything -----------------------------------------------------------------------------------------------------


def test_a_replica_is_collected_as_it_was_recorded(pair, no_option_files):
    found = collector().collect()
    assert found["clock"] == pytest.approx(pair.replica.rows["clock"])
    expected = {name: value for name, value in pair.replica.rows.items() if name not in ELSEWHERE}
    assert {name: found.get(name) for name in expected} == expected


def test_a_primary_is_collected_as_it_was_recorded(pair):
    collected = over_tcp()
    found = collected.collect(detail=False)
    assert not {"disk", "long_transactions", "tables", "objects"} & found.keys(), (
        "this is asked of the local server only"
    )
    collected.tables()
    expected = {name: value for name, value in pair.primary.rows.items() if name not in ELSEWHERE}
    assert {name: found.get(name) for name in expected} == expected


def test_nothing_is_ever_written(pair, no_option_files):
    everything = collector()
    everything.collect()
    everything.accounts(["repl"])
    pair.replica.on("`app`.`beats`", [])
    everything.heartbeat("app.beats", 1)
    own = "SET SESSION information_schema_stats_expiry"
    assert set(pair.replica.told) == set(pair.replica.told_to("SELECT ", "SHOW ", own))


def test_channels_alone_need_no_more_than_their_rows(pair):
    found = collector().channel_rows()
    assert found["replica_status"] == pair.replica.rows["replica_status"]
    assert "variables" not in found
    assert not [statement for statement in pair.replica.told if "VARIABLES" in statement]


def test_a_server_without_channels_is_not_asked_about_them(mysql):
    over_tcp().channel_rows()
    assert not [statement for statement in mysql.primary.told if "performance_schema" in statement]


def test_blockers_are_asked_for_only_while_something_is_applied(mysql, no_option_files):
    blocker = {"blocker": 9, "user": "x", "host": "y", "kind": "row lock"}
    mysql.replica.rows["blockers"] = [blocker]
    assert "blockers" not in collector().collect()
    mysql.replica.rows["workers"][0]["APPLYING_TRANSACTION"] = "u:1"
    assert collector().collect()["blockers"] == [blocker]


def test_bytes_of_the_server_become_text(mysql, no_option_files):
    mysql.replica.rows["variables"]["hostname"] = b"caf\xc3\xa9\xff"
    assert collector().collect()["variables"]["hostname"] == "caf\u00e9\ufffd"


def test_a_gtid_set_over_several_lines_is_one(mysql):
    mysql.replica.rows["executed"] = "a:1-4,\nb:1-2"
    found = collector()
    found.positions()
    assert found.snapshot["executed"] == "a:1-4,b:1-2"


def test_an_age_of_transactions_is_asked_for_as_given(mysql, no_option_files):
    collector().collect(max_transaction_age=77)
    assert [statement for statement in mysql.replica.told if "INTERVAL 77 SECOND" in statement]


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "statement", "section", "grant"),
    [
        ("mysql97", "SHOW REPLICA STATUS", "replica_status", "REPLICATION CLIENT ON *.*"),
        ("mysql97", "SHOW BINARY LOG STATUS", "binlog_status", "REPLICATION CLIENT ON *.*"),
        ("mysql97", "SHOW REPLICAS", "replicas", "REPLICATION SLAVE ON *.*"),
        ("mysql97", "Binlog Dump", "dump_threads", "SELECT ON performance_schema.*"),
        ("mysql97", "replication_applier_status_by_worker", "workers", "SELECT ON performance_schema.*"),
        ("mysql97", "FROM information_schema.INNODB_TRX", "long_transactions", "PROCESS ON *.*"),
        ("mysql97", "information_schema.REFERENTIAL_CONSTRAINTS", "tables", "REFERENCES ON *.*"),
        ("mysql97", "information_schema.VIEWS", "objects", "SELECT, TRIGGER, EVENT ON *.*"),
        ("mariadb118", "SHOW ALL REPLICAS STATUS", "replica_status", "SLAVE MONITOR ON *.*"),
        ("mariadb118", "SHOW MASTER STATUS", "binlog_status", "BINLOG MONITOR ON *.*"),
        ("mariadb118", "SHOW BINARY LOGS", "oldest_binlog", "BINLOG MONITOR ON *.*"),
        ("mariadb118", "SHOW REPLICA HOSTS", "replicas", "REPLICATION MASTER ADMIN ON *.*"),
        ("mariadb118", "Binlog Dump", "dump_threads", "PROCESS ON *.*"),
        ("mariadb118", "INNODB_LOCK_WAITS", "blockers", "PROCESS ON *.*"),
    ],
)
def test_a_refused_section_names_its_grant_and_leaves_the_others(
    engine, statement, section, grant, network, clock, no_option_files
):
    pair = Pair(engine, network, clock)
    pair.replica.deny(statement)
    found = collector().collect()
    assert section not in found
    assert found["denied"][section]["errno"] == 1227
    assert found["denied"][section]["grant"] == f"GRANT {grant} TO 'verify'@'192.0.2.%';"
    assert set(found["denied"]) == {section}


def test_the_account_need_not_be_known_to_name_a_grant(mysql, no_option_files):
    mysql.replica.deny("SHOW REPLICAS")
    mysql.replica.on("CURRENT_USER()", error(1064))
    assert collector().collect()["denied"]["replicas"]["grant"].endswith(" TO the account;")


def test_an_error_that_no_grant_heals_names_none(mysql, no_option_files):
    mysql.replica.on("SHOW REPLICAS", error(1064, "You have an error in your SQL syntax"))
    refusal = collector().collect()["denied"]["replicas"]
    assert (refusal["errno"], refusal["grant"]) == (1064, "")
    assert "SQL syntax" in refusal["error"]


def test_a_statement_that_hangs_costs_its_section_and_a_new_session(mysql, no_option_files):
    mysql.replica.on("SHOW REPLICA STATUS", LOST)
    found = collector().collect()
    assert found["denied"]["replica_status"]["errno"] == 2013
    assert found["replicas"] == [], "what came afterwards was read over a second connection"
    assert (len(mysql.replica.opened), mysql.replica.closed) == (2, 1)


def test_channels_that_may_not_be_read_are_still_asked_for_their_parts(mysql, no_option_files):
    mysql.replica.deny("SHOW REPLICA STATUS")
    found = collector().collect()
    assert found["connection_status"] == mysql.replica.rows["connection_status"]
    assert found["global_filters"] == mysql.replica.rows["global_filters"]


@pytest.mark.parametrize(
    ("grants", "unseen"),
    [
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` IDENTIFIED BY PASSWORD '*B690' WITH GRANT OPTION", set()),
        ("GRANT SELECT, TRIGGER, EVENT ON *.* TO `verify`@`%`", set()),
        ("GRANT SELECT, REPLICATION CLIENT ON *.* TO `verify`@`%`", {"objects"}),
        ("GRANT REFERENCES ON *.* TO `verify`@`%`", {"objects"}),
        ("GRANT REPLICATION CLIENT ON *.* TO `verify`@`%`", {"tables", "objects"}),
        ("GRANT SELECT ON `app`.* TO `verify`@`%`", {"tables", "objects"}),
        ("REVOKE SELECT ON `secret`.* FROM `verify`@`%`", {"tables", "objects"}),
    ],
)
def test_what_an_account_is_not_shown_is_not_taken_for_nothing(pair, grants, unseen, no_option_files):
    pair.replica.grants = grants
    found = collector().collect()
    assert set(found["denied"]) == unseen
    assert "PASSWORD" not in str(found), "what an account has been granted is not kept"


def test_tables_may_be_left_out(pair, no_option_files):
    found = collector().collect(tables=False)
    assert not {"tables", "objects"} & (found.keys() | found["denied"].keys())
    assert not [statement for statement in pair.replica.told if "information_schema.COLUMNS" in statement]


def test_objects_are_told_with_whether_their_account_exists(pair, no_option_files):
    stored = {"schema": "app", "state": None, "origin": None}
    pair.replica.rows["objects"] = [
        {**stored, "kind": "trigger", "name": "a", "definer": "root@localhost", "definer_exists": True},
        {**stored, "kind": "view", "name": "b", "definer": "gone@%", "definer_exists": False},
        {**stored, "kind": "event", "name": "c", "definer": "gone@%", "definer_exists": False, "state": "ENABLED",
         "origin": 1},
    ]  # fmt: skip
    assert collector().collect()["objects"] == pair.replica.rows["objects"]


def test_how_long_the_certificate_lasts(pair, no_option_files):
    pair.replica.rows["status"]["ssl_server_not_after"] = "" if pair.mariadb else "Jan 31 00:00:00 1970 GMT"
    found = collector().collect()
    assert found["certificate_left"] == 30 * 86400 - pair.clock.now
    assert len(pair.replica.opened) == (2 if pair.mariadb else 1), "MariaDB tells it to a session over TLS only"


def test_a_server_without_a_certificate(pair, no_option_files):
    pair.replica.rows["status"]["ssl_server_not_after"] = ""
    pair.replica.on("SHOW SESSION STATUS", [{"Value": ""}])
    assert collector().collect()["certificate_left"] is None


# --- MariaDB's own --------------------------------------------------------------------------------------------------


def test_dump_threads_are_in_performance_schema_where_that_is_on(mariadb):
    mariadb.primary.rows["variables"]["performance_schema"] = "ON"
    mariadb.primary.rows["dump_threads"] = [{"user": "repl", "host": "db2", "connection_type": "SSL/TLS"}]
    found = over_tcp().collect()
    assert found["dump_threads"][0]["connection_type"] == "SSL/TLS"
    assert not [statement for statement in mariadb.primary.told if "information_schema.PROCESSLIST WHERE" in statement]


def test_a_server_without_binary_logs_has_no_oldest_one(mariadb):
    mariadb.primary.rows["oldest_binlog"]["files"] = 0
    assert over_tcp().collect()["oldest_binlog"] == {}


def test_the_past_that_is_gone_is_read_from_the_oldest_log(mariadb):
    mariadb.primary.rows["oldest_binlog"] = {"name": "binlog.000007", "files": 3, "gtids": "0-20-900"}
    assert over_tcp().collect()["oldest_binlog"] == mariadb.primary.rows["oldest_binlog"]
    assert "SHOW BINLOG EVENTS IN 'binlog.000007' LIMIT 3" in mariadb.primary.told


@pytest.mark.parametrize(
    ("origin", "value", "expected"),
    [
        ("CONFIG", "ON", {"read_only": True}),
        ("COMMAND-LINE", "OFF", {"read_only": False}),
        ("SQL", "ON", None),
        ("COMPILE-TIME", "OFF", None),
    ],
)
def test_where_the_value_is_from_says_whether_a_restart_keeps_it(mariadb, origin, value, expected):
    mariadb.primary.rows["persisted"][0].update(GLOBAL_VALUE_ORIGIN=origin, GLOBAL_VALUE=value)
    assert over_tcp().collect().get("boot") == expected


# --- what a restart keeps, and the disk -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("persisted", "source", "running", "expected"),
    [
        ("ON", "DYNAMIC", "OFF", True),
        ("OFF", "DYNAMIC", "ON", False),
        (None, "GLOBAL", "ON", True),
        (None, "COMMAND_LINE", "OFF", False),
        (None, "COMPILED", "OFF", False),
        (None, "DYNAMIC", "ON", None),
    ],
)
def test_persisted_wins_over_the_option_file_and_that_over_the_default(
    mysql, no_option_files, persisted, source, running, expected
):
    mysql.replica.rows["persisted"][1].update(PERSISTED_VALUE=persisted, VARIABLE_SOURCE=source)
    mysql.replica.rows["variables"]["super_read_only"] = running
    boot = collector().collect().get("boot")
    assert boot == (None if expected is None else {"super_read_only": expected})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("--super_read_only=ON\n", True),
        ("--super-read-only\n", True),
        ("--super_read_only=1\n--super_read_only=0\n", False),
        ("--super_read_only=ON\n--skip-super-read-only\n", False),
        ("--port=3306\n", False),
    ],
)
def test_the_last_line_of_the_option_files_counts(mysql, monkeypatch, said, expected):
    mysql.replica.rows["persisted"] = []
    asked: list[Any] = []

    def run(argv: list[str], **_how: Any) -> subprocess.CompletedProcess[str]:
        asked.append(argv)
        return subprocess.CompletedProcess(argv, 0, said, "")

    monkeypatch.setattr(facts.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(facts.subprocess, "run", run)
    assert collector().collect()["boot"] == {"super_read_only": expected}
    assert asked == [["/usr/bin/my_print_defaults", "mysqld", "server"]]


def test_mariadb_has_a_program_of_its_own_for_its_option_files(mariadb, monkeypatch):
    mariadb.replica.rows["persisted"] = []
    asked: list[Any] = []
    monkeypatch.setattr(facts.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        facts.subprocess,
        "run",
        lambda argv, **_how: asked.append(argv) or subprocess.CompletedProcess(argv, 0, "--read_only=ON\n", ""),
    )
    assert collector().collect()["boot"] == {"read_only": True}
    assert asked == [["/usr/bin/mariadb-print-defaults", "--mysqld"]]


@pytest.mark.parametrize(
    "outcome",
    [
        OSError("no such file"),
        subprocess.TimeoutExpired("my_print_defaults", 5),
        subprocess.CompletedProcess([], 1, "--super_read_only=ON", "no permission"),
    ],
    ids=["gone", "hung", "failed"],
)
def test_option_files_that_cannot_be_read_say_nothing(mysql, monkeypatch, outcome):
    def run(_argv: list[str], **_how: Any) -> subprocess.CompletedProcess[str]:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    mysql.replica.rows["persisted"] = []
    monkeypatch.setattr(facts.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(facts.subprocess, "run", run)
    assert "boot" not in collector().collect()


def test_only_the_host_itself_says_how_full_its_disks_are(mysql, tmp_path, no_option_files):
    mysql.replica.rows["variables"].update(
        datadir=str(tmp_path), log_bin_basename=str(tmp_path / "binlog"), relay_log_basename="/nowhere/at/all/relay"
    )
    disk = {entry["purpose"]: entry for entry in collector().collect()["disk"]}
    assert set(disk) == {"data", "binary log"}, "a directory that is not there is left out"
    assert disk["binary log"]["path"] == str(tmp_path)
    assert 0 <= disk["data"]["free_bytes"] <= disk["data"]["total_bytes"]


def test_a_server_without_binary_log_has_no_place_for_it(mysql, tmp_path, no_option_files):
    mysql.replica.rows["variables"] = {"datadir": str(tmp_path)}
    assert [entry["purpose"] for entry in collector().collect()["disk"]] == ["data"]


# --- accounts and heartbeat -----------------------------------------------------------------------------------------


def test_accounts_are_asked_for_by_the_names_of_the_channels(pair):
    found = collector()
    found.accounts(["repl", "other", "repl", ""])
    assert found.snapshot["replication_account"] == pair.replica.rows["replication_account"]
    (asked,) = [statement for statement in pair.replica.told if "FROM mysql.user" in statement]
    assert "IN ('other', 'repl')" in asked


def test_without_channels_no_account_is_asked_for(pair):
    found = collector()
    found.accounts([])
    assert "replication_account" not in found.snapshot


@pytest.mark.parametrize(
    ("server_id", "end"), [(20, "`hb` WHERE server_id = 20"), (None, "`hb` ORDER BY ts DESC LIMIT 1")]
)
def test_the_heartbeat_is_that_of_the_source_or_the_newest(mysql, server_id, end):
    mysql.replica.on("`100%`.`hb`", [{"server_id": 20, "age": 0.5}])
    found = collector()
    found.heartbeat("100%.hb", server_id)
    assert found.snapshot["heartbeat"] == [{"server_id": 20, "age": 0.5}]
    assert mysql.replica.told[-1].endswith(end)


def test_a_heartbeat_table_that_cannot_be_a_name_is_refused(mysql):
    found = collector()
    asked = len(mysql.replica.told)
    with pytest.raises(DatabaseError, match="cannot be the name"):
        found.heartbeat("nodot", 1)
    assert len(mysql.replica.told) == asked


# --- watching the receiver ------------------------------------------------------------------------------------------


def moving(pair: Pair, **columns: Any) -> None:
    """Let these columns of the replica's channel change during the first pause."""
    pair.clock.meanwhile.append(lambda: pair.replica.status.update(columns))


def test_a_heartbeat_is_a_sign_of_life(mariadb):
    found = collector()
    found.collect()
    moving(mariadb, Slave_received_heartbeats=1)
    assert facts.watch_receiver(found, 10) == {"": 0.0}
    assert mariadb.clock.naps == [0.25]


def test_a_source_that_says_nothing_was_quiet_for_as_long_as_was_watched(mariadb):
    found = collector()
    found.collect()
    assert facts.watch_receiver(found, 3) == {"": 3.0}
    assert sum(mariadb.clock.naps) == 3


def test_a_connection_given_up_meanwhile_was_quiet_all_the_time(mariadb):
    found = collector()
    found.collect()
    moving(mariadb, Slave_IO_Running="Connecting")
    assert facts.watch_receiver(found, 3) == {"": 3}


def test_a_receiver_that_is_not_connected_is_not_watched(mariadb):
    mariadb.replica.status["Slave_IO_Running"] = "No"
    found = collector()
    found.collect()
    assert facts.watch_receiver(found, 3) == {}
    assert mariadb.clock.naps == []


def test_on_mysql_a_position_that_moves_is_a_sign_of_life(mysql):
    found = collector()
    found.collect()
    moving(mysql, Read_Source_Log_Pos=4711)
    assert facts.watch_receiver(found, 3) == {"": 0.0}


def test_on_mysql_a_heartbeat_is_a_sign_of_life(mysql):
    found = collector()
    found.collect()
    mysql.clock.meanwhile.append(lambda: mysql.replica.rows["connection_status"][0].update(COUNT_RECEIVED_HEARTBEATS=1))
    assert facts.watch_receiver(found, 3) == {"": 0.0}


def test_on_mysql_a_stopped_receiver_is_not_watched(mysql):
    mysql.replica.status["Replica_IO_Running"] = "No"
    found = collector()
    found.collect()
    assert facts.watch_receiver(found, 3) == {}


# --- a look in passing ----------------------------------------------------------------------------------------------


def test_the_essentials_are_role_fence_and_channels_and_no_more(pair):
    found = collector().essentials()
    for section in ("variables", "replica_status", "executed"):
        assert found[section] == pair.replica.rows[section]
    assert not {"status", "replicas", "dump_threads", "tables", "objects"} & found.keys()
