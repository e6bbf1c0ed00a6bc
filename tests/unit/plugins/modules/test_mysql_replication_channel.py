# SPDX-License-Identifier: GPL-3.0-or-later
"""A channel is brought into the wanted state with no statement too many, and nothing received is lost."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import mysql_replication_channel as module
from scripted_mysql import Pair, error

PASSWORD = "s3cret"
ENGINES = ["mysql97", "mariadb118"]


class Replica:
    """A recorded replica that obeys what it is told about its channel, and the module that tells it."""

    def __init__(self, pair: Pair, run_module: Any) -> None:
        self.mariadb, self.clock, self.server = pair.mariadb, pair.clock, pair.replica
        self._run = run_module
        status, self.word = self.server.status, "SLAVE" if self.mariadb else "REPLICA"
        self.column = "Slave" if self.mariadb else "Replica"
        prefix = "Master" if self.mariadb else "Source"
        self.settings = {
            "source_host": status[f"{prefix}_Host"], "source_user": "repl", "source_ssl_ca": "/tls/ca.pem",
            "connect_retry": 5, "heartbeat_period": 2,
        }  # fmt: skip
        for verb, state in (("STOP", "No"), ("START", "Yes")):
            self.server.on(f"{verb} {self.word}", lambda statement, _values, to=state: self._switch(statement, to))
        self.server.on("CHANGE ", [])
        self.server.on("SET GLOBAL ", [])
        self.server.on(f"RESET {self.word}", lambda *_: self.server.rows.update(replica_status=[]) or [])
        self.server.on("mysql.slave_master_info", [{"p": PASSWORD}])

    def _switch(self, statement: str, state: str) -> list[Any]:
        for thread in ("IO", "SQL"):
            if f"{thread}_THREAD" in statement or "_THREAD" not in statement:
                self.server.status[f"{self.column}_{thread}_Running"] = state
        return []

    def set(self, **columns: Any) -> None:
        """Change the channel's row, by the names of MySQL."""
        names = {"Replica_": f"{self.column}_", "Source_": "Master_" if self.mariadb else "Source_"}
        for name, value in columns.items():
            for ours, theirs in names.items():
                name = name.replace(ours, theirs)
            assert name in self.server.status
            self.server.status[name] = value

    def bring(self, check: bool = False, **options: Any) -> dict[str, Any]:
        """What the module answers; in check mode the server must have been told nothing."""
        before = self.orders
        answer = self._run(module, check=check, login_user="root", login_unix_socket=Pair.REPLICA, **options)
        assert PASSWORD not in str(answer)
        assert not check or self.orders == before
        return answer

    def brought(self, **options: Any) -> dict[str, Any]:
        """What the module answers, which has to be the same in check mode."""
        told = self.bring(check=True, **options)
        done = self.bring(**options)
        assert (told["changed"], told["statements"], told.get("diff")) == (
            done["changed"], done["statements"], done.get("diff"),
        )  # fmt: skip
        return done

    @property
    def orders(self) -> list[str]:
        """What the server was told to do."""
        return self.server.told_to("CHANGE", "SET GLOBAL", "START", "STOP", "RESET")

    def thread(self, verb: str, kind: str) -> str:
        """The statement that starts or stops a thread, as it is shown."""
        return f"{verb} SLAVE '' {kind}_THREAD" if self.mariadb else f"{verb} REPLICA {kind}_THREAD FOR CHANNEL ''"


@pytest.fixture(params=ENGINES)
def replica(request, network, clock, run_module) -> Replica:
    """A replica of either engine."""
    return Replica(Pair(request.param, network, clock), run_module)


@pytest.fixture
def mysql(network, clock, run_module) -> Replica:
    """A replica of MySQL."""
    return Replica(Pair("mysql97", network, clock), run_module)


@pytest.fixture
def mariadb(network, clock, run_module) -> Replica:
    """A replica of MariaDB."""
    return Replica(Pair("mariadb118", network, clock), run_module)


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["started", "configured"])
def test_a_channel_that_is_as_wanted_is_not_touched(replica, state):
    answer = replica.brought(state=state, **replica.settings)
    assert (answer["changed"], answer["statements"], replica.orders) == (False, [], [])
    assert answer["settings"]["source_host"] == replica.settings["source_host"]


@pytest.mark.parametrize(
    ("option", "value", "clause"),
    [
        ("source_host", "db9", "SOURCE_HOST = 'db9'"),
        ("source_port", 3307, "SOURCE_PORT = 3307"),
        ("source_user", "other", "SOURCE_USER = 'other'"),
        ("source_ssl", False, "SOURCE_SSL = 0"),
        ("source_ssl_verify", False, "SOURCE_SSL_VERIFY_SERVER_CERT = 0"),
        ("connect_retry", 60, "SOURCE_CONNECT_RETRY = 60"),
    ],
)
def test_what_differs_is_changed_while_the_receiver_rests(replica, option, value, clause):
    answer = replica.brought(**{**replica.settings, option: value})
    if replica.mariadb:
        # It changes nothing while one of the two threads runs, and forgets the heartbeat it is not told.
        clause = f"CHANGE MASTER '' TO {clause.replace('SOURCE', 'MASTER')}, MASTER_HEARTBEAT_PERIOD = 2.0"
        rest = ["IO", "SQL"]
    else:
        clause = f"CHANGE REPLICATION SOURCE TO {clause}, SOURCE_HEARTBEAT_PERIOD = 2.0 FOR CHANNEL ''"
        rest = ["IO"]
    assert answer["changed"] is True
    assert answer["statements"] == [
        *(replica.thread("STOP", kind) for kind in rest),
        clause,
        *(replica.thread("START", kind) for kind in reversed(rest)),
    ]
    assert answer["diff"]["before"][option] != value
    assert answer["diff"]["after"] == {**answer["diff"]["before"], option: value}
    assert len(replica.orders) == len(answer["statements"])


def test_a_delay_concerns_the_applier_alone(mysql):
    answer = mysql.brought(delay=60, **mysql.settings)
    assert answer["statements"] == [
        mysql.thread("STOP", "SQL"),
        "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 60 FOR CHANNEL ''",
        mysql.thread("START", "SQL"),
    ]


def test_positions_by_file_are_replaced_by_gtid(replica):
    replica.set(**({"Using_Gtid": "Current_Pos"} if replica.mariadb else {"Auto_Position": 0}))
    change = next(s for s in replica.brought(**replica.settings)["statements"] if s.startswith("CHANGE"))
    assert ("MASTER_USE_GTID = slave_pos" if replica.mariadb else "SOURCE_AUTO_POSITION = 1") in change


def test_threads_that_rested_before_are_not_started_by_a_change(replica):
    replica.set(Replica_IO_Running="No", Replica_SQL_Running="No")
    answer = replica.brought(state="configured", **{**replica.settings, "connect_retry": 60})
    assert [statement.split()[0] for statement in answer["statements"]] == ["CHANGE"]


def test_a_receiver_that_tries_to_connect_rests_for_a_change_too(replica):
    replica.set(Replica_IO_Running="Connecting")
    answer = replica.brought(**{**replica.settings, "connect_retry": 60})
    assert replica.thread("STOP", "IO") in answer["statements"]


def test_a_retry_count_of_its_own_a_channel_has_not_everywhere(replica):
    answer = replica.brought(retry_count=10, **replica.settings)
    if replica.mariadb:
        assert (answer["changed"], "master-retry-count" in answer["notes"][0]) == (False, True)
    else:
        assert (answer["changed"], answer["notes"]) == (True, [])
        assert "SOURCE_RETRY_COUNT = 10" in answer["statements"][1]


def test_the_public_key_is_asked_for_where_that_is_wanted(mysql):
    assert "GET_SOURCE_PUBLIC_KEY = 1" in mysql.brought(get_source_public_key=True, **mysql.settings)["statements"][1]
    mysql.server.rows["connection_configuration"][0]["GET_PUBLIC_KEY"] = "YES"
    assert mysql.brought(get_source_public_key=True, **mysql.settings)["changed"] is False


@pytest.mark.parametrize("demote", [False, True])
def test_a_channel_that_is_not_there_is_made_and_started(replica, demote):
    replica.server.rows["replica_status"] = []
    with_channel = Pair("mariadb118" if replica.mariadb else "mysql97", _Nowhere(), replica.clock).replica.status

    def made(*_: Any) -> list[Any]:
        replica.server.rows["replica_status"] = [{**with_channel}]
        replica.set(Replica_IO_Running="No", Replica_SQL_Running="No")
        return []

    replica.server.on("CHANGE ", made)
    answer = replica.bring(source_password=PASSWORD, demote=demote, **replica.settings)
    change, *starts = answer["statements"]
    assert starts == [replica.thread("START", "SQL"), replica.thread("START", "IO")]
    assert ("MASTER_DEMOTE_TO_SLAVE = 1" in change) is (demote and replica.mariadb)
    assert "PASSWORD = '********'" in change
    assert f"PASSWORD = '{PASSWORD}'" in replica.orders[0]
    assert (answer["changed"], answer["diff"]["before"]) == (True, {})


def test_a_server_that_has_a_channel_is_no_primary_to_be_demoted(mariadb):
    answer = mariadb.brought(demote=True, **{**mariadb.settings, "connect_retry": 60})
    assert not [statement for statement in answer["statements"] if "DEMOTE" in statement]


class _Nowhere:
    """A network that nobody asks."""

    @staticmethod
    def add(_where: str, server: Any) -> Any:
        return server


def test_in_check_mode_a_new_channel_would_be_started(replica):
    replica.server.rows["replica_status"] = []
    answer = replica.bring(check=True, source_password=PASSWORD, **replica.settings)
    assert answer["changed"] is True
    assert [statement.split()[0] for statement in answer["statements"]] == ["CHANGE", "START"]


# --- passwords ------------------------------------------------------------------------------------------------------


def stores(replica: Replica, tmp_path: Any, password: str | None) -> None:
    """Let the server keep this password for the channel; None is one that cannot be read."""
    if replica.mariadb:
        replica.server.on("@@GLOBAL.datadir", [{"d": str(tmp_path)}])
        lines = ["33", "binlog.000001", "4", "db1", "repl", password]
        if password is not None:
            (tmp_path / "master.info").write_text("\n".join(lines) + "\n")
    else:
        replica.server.on("mysql.slave_master_info", [{"p": password}] if password else error(1142, "denied"))


def test_the_stored_password_is_left_alone(replica, tmp_path):
    stores(replica, tmp_path, PASSWORD)
    answer = replica.brought(source_password=PASSWORD, **replica.settings)
    assert (answer["changed"], answer["diff"]["after"]["source_password"]) == (False, "(unchanged)")


def test_another_password_is_set_and_never_shown(replica, tmp_path):
    stores(replica, tmp_path, "old")
    answer = replica.brought(source_password=PASSWORD, **replica.settings)
    assert (answer["changed"], answer["diff"]["after"]["source_password"]) == (True, "(changed)")
    assert any("_PASSWORD = '********'" in statement for statement in answer["statements"])
    assert any(f"_PASSWORD = '{PASSWORD}'" in statement for statement in replica.orders)


@pytest.mark.parametrize(
    ("errno", "changes", "expected"),
    [(0, {}, False), (2003, {}, False), (1045, {}, True), (0, {"connect_retry": 60}, True)],
    ids=["works", "unreachable", "refused", "with another change"],
)
def test_a_password_that_cannot_be_read_is_set_when_it_may_be_wrong(replica, tmp_path, errno, changes, expected):
    stores(replica, tmp_path, None)
    replica.set(Last_IO_Errno=errno)
    answer = replica.brought(source_password=PASSWORD, **{**replica.settings, **changes})
    assert any("PASSWORD" in statement for statement in answer["statements"]) is expected


def test_the_file_of_a_named_connection_of_mariadb_has_its_name(mariadb, tmp_path):
    mariadb.set(Connection_name="West")
    mariadb.server.on("@@GLOBAL.datadir", [{"d": str(tmp_path)}])
    (tmp_path / "master-west.info").write_text(f"33\na\n4\ndb1\nrepl\n{PASSWORD}\n")
    assert mariadb.brought(channel="West", source_password=PASSWORD, **mariadb.settings)["changed"] is False


def test_over_the_network_the_file_of_mariadb_cannot_be_read(mariadb, network, run_module):
    network.add("db2:3306", mariadb.server)
    answer = run_module(module, login_user="x", login_host="db2", source_password=PASSWORD, **mariadb.settings)
    assert (answer["changed"], [s for s in mariadb.server.told if "datadir" in s]) == (False, [])


# --- filters --------------------------------------------------------------------------------------------------------

FILTERS = {"do_db": ["app", "shop"], "ignore_table": ["app.x`y"], "wild_do_table": ["app.%"]}


def test_filters_are_set_exactly_as_given(mysql):
    answer = mysql.brought(state="configured", filters=FILTERS)
    stop, change, start = answer["statements"]
    assert (stop, start) == (mysql.thread("STOP", "SQL"), mysql.thread("START", "SQL"))
    assert change == (
        "CHANGE REPLICATION FILTER REPLICATE_DO_DB = (`app`, `shop`), REPLICATE_IGNORE_DB = (),"
        " REPLICATE_DO_TABLE = (), REPLICATE_IGNORE_TABLE = (`app`.`x``y`), REPLICATE_WILD_DO_TABLE = ('app.%'),"
        " REPLICATE_WILD_IGNORE_TABLE = () FOR CHANNEL ''"
    )
    assert answer["settings"]["filter_do_db"] == ["app", "shop"]


@pytest.mark.parametrize(("name", "prefix"), [("", ""), ("west", "`west`.")])
def test_filters_of_mariadb_are_variables_and_both_threads_rest(mariadb, name, prefix):
    mariadb.set(Connection_name=name)
    answer = mariadb.brought(state="configured", channel=name, filters=FILTERS)
    assert [statement.split()[0] for statement in answer["statements"]] == ["STOP"] * 2 + ["SET"] * 6 + ["START"] * 2
    assert answer["statements"][2] == f"SET GLOBAL {prefix}replicate_do_db = 'app,shop'"
    assert answer["statements"][3] == f"SET GLOBAL {prefix}replicate_ignore_db = ''"


def test_filters_have_no_order_and_an_empty_dictionary_removes_them(replica):
    replica.set(Replicate_Do_DB="shop,app")
    assert replica.brought(state="configured", filters={"do_db": ["app", "shop"]})["changed"] is False
    answer = replica.brought(state="configured", filters={})
    assert (answer["changed"], answer["diff"]["before"]["filter_do_db"]) == (True, ["app", "shop"])
    assert "filter_do_db" not in answer["diff"]["after"]


def test_filters_of_a_channel_that_is_not_there_need_its_source(replica):
    replica.server.rows["replica_status"] = []
    answer = replica.bring(state="configured", filters={"do_db": ["a"]})
    assert (answer["failed"], "source_host is needed" in answer["msg"]) == (True, True)


# --- started and stopped --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["IO", "SQL"])
def test_what_is_stopped_is_started(replica, kind):
    replica.set(**{f"Replica_{kind}_Running": "No"})
    answer = replica.brought()
    assert (answer["changed"], answer["statements"]) == (True, [replica.thread("START", kind)])
    assert replica.bring()["changed"] is False


def test_an_applier_that_stopped_on_an_error_is_told_and_left_alone(replica, monkeypatch):
    warned: list[str] = []
    monkeypatch.setattr(module.AnsibleModule, "warn", lambda _module, text: warned.append(text))
    message = f"Duplicate entry in {replica.word}"
    replica.set(Replica_SQL_Running="No", Replica_IO_Running="No", Last_SQL_Errno=1062, Last_SQL_Error=message)
    answer = replica.brought()
    assert answer["statements"] == [replica.thread("START", "IO")]
    assert answer["applier_error"] == {"errno": 1062, "message": message}
    assert warned == [f"The applier has stopped on error 1062 and was not started again: {message}"] * 2


def test_a_channel_that_is_not_there_cannot_be_started(replica):
    replica.server.rows["replica_status"] = []
    answer = replica.bring()
    assert (answer["failed"], "no such channel" in answer["msg"], answer["statements"]) == (True, True, [])


def test_a_running_channel_is_stopped_once(replica):
    answer = replica.brought(state="stopped")
    assert answer["statements"] == ["STOP SLAVE ''" if replica.mariadb else "STOP REPLICA FOR CHANNEL ''"]
    assert replica.bring(state="stopped")["changed"] is False


@pytest.mark.parametrize("state", ["stopped", "absent"])
def test_of_a_channel_that_is_not_there_nothing_is_stopped_or_removed(replica, state):
    replica.server.rows["replica_status"] = []
    assert replica.brought(state=state)["changed"] is False


# --- absent ---------------------------------------------------------------------------------------------------------


def received(replica: Replica, count: int) -> None:
    """Let so many transactions have arrived."""
    if replica.mariadb:
        replica.set(Gtid_IO_Pos=f"0-20-{count}")
    else:
        uuid = replica.server.status["Source_UUID"]
        replica.server.rows["connection_status"][0]["RECEIVED_TRANSACTION_SET"] = f"{uuid}:1-{count}"


def test_a_channel_whose_transactions_are_applied_is_removed(replica):
    answer = replica.brought(state="absent")
    reset = "RESET SLAVE '' ALL" if replica.mariadb else "RESET REPLICA ALL FOR CHANNEL ''"
    assert answer["statements"] == [replica.thread("STOP", "IO"), replica.thread("STOP", "SQL"), reset]
    assert replica.server.rows["replica_status"] == []


def test_a_named_channel_is_removed_by_its_name(mysql):
    mysql.set(Channel_Name="west")
    for section in ("connection_configuration", "connection_status"):
        mysql.server.rows[section][0]["CHANNEL_NAME"] = "west"
    assert mysql.brought(state="absent", channel="west")["statements"][-1] == "RESET REPLICA ALL FOR CHANNEL 'west'"


def test_received_transactions_are_never_lost_unasked(replica):
    received(replica, 9)
    answer = replica.bring(state="absent")
    assert answer["failed"] is True
    assert answer["msg"].startswith("5 received transaction(s) are not applied yet")
    assert answer["statements"] == [replica.thread("STOP", "IO"), replica.thread("START", "IO")], "as it was before"
    assert sum(replica.clock.naps) == pytest.approx(10, abs=0.2)


def test_in_check_mode_nobody_waits_for_the_applier(replica):
    received(replica, 9)
    assert replica.bring(check=True, state="absent")["failed"] is True
    assert replica.clock.naps == []


def test_a_stopped_applier_is_not_waited_for(replica):
    received(replica, 9)
    replica.set(Replica_SQL_Running="No", Replica_IO_Running="No")
    answer = replica.bring(state="absent")
    assert (answer["failed"], answer["statements"], replica.clock.naps) == (True, [], [])


def test_transactions_that_are_applied_meanwhile_are_waited_for(replica):
    received(replica, 9)

    def apply() -> None:
        name, value = ("slave_pos", "0-20-9") if replica.mariadb else (
            "executed", f"{replica.server.status['Source_UUID']}:1-9",
        )  # fmt: skip
        replica.server.rows[name] = value

    replica.clock.meanwhile += [lambda: None, apply]
    assert replica.bring(state="absent")["changed"] is True
    assert replica.clock.naps == [0.1, 0.1]


def test_force_loses_them(replica):
    received(replica, 9)
    answer = replica.brought(state="absent", force=True)
    assert (answer["changed"], answer["statements"][-1].split()[0]) == (True, "RESET")


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_missing_privilege_names_its_grant_and_what_ran_runs_again(replica, tmp_path):
    stores(replica, tmp_path, "old")
    replica.server.on("CHANGE ", error(1227, "Access denied"))
    answer = replica.bring(source_password=PASSWORD, **{**replica.settings, "source_port": 1})
    privilege = "REPLICATION SLAVE ADMIN" if replica.mariadb else "REPLICATION_SLAVE_ADMIN"
    assert answer["failed"] is True
    assert answer["msg"].endswith(f"GRANT {privilege} ON *.* TO the account.")
    assert "PASSWORD = '********'" in answer["msg"]
    assert answer["statements"][-1] == replica.thread("START", "IO")


def test_another_error_is_told_without_a_grant(replica):
    replica.server.on(f"START {replica.word}", error(1872, "cannot initialise"))
    replica.set(Replica_IO_Running="No")
    answer = replica.bring()
    assert replica.thread("START", "IO") + " failed: " in answer["msg"]
    assert "GRANT" not in answer["msg"]


def test_a_channel_that_may_not_be_read_is_not_guessed(replica):
    replica.server.deny("REPLICAS STATUS" if replica.mariadb else "SHOW REPLICA STATUS")
    answer = replica.bring(**replica.settings)
    assert (answer["failed"], answer["statements"], replica.orders) == (True, [], [])
    assert "GRANT " in answer["msg"]


def test_a_server_that_cannot_be_reached_is_told_by_its_address(network, run_module):
    answer = run_module(module, login_user="x", login_host="db7")
    assert (answer["failed"], answer["statements"]) == (True, [])
    assert "db7:3306 cannot be reached" in answer["msg"]


@pytest.mark.parametrize("option", ["heartbeat_period", "delay", "retry_count", "connect_retry"])
def test_numbers_below_their_least_value_are_refused(replica, option):
    answer = replica.bring(**{**replica.settings, option: -1})
    assert (answer["failed"], "must not be negative" in answer["msg"]) == (True, True)


def test_options_that_need_others_are_refused_without_them(run_module):
    assert "source_user" in run_module(module, source_host="db1")["msg"]
    assert "source_host, filters" in run_module(module, state="configured")["msg"]
