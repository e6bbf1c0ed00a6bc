# SPDX-License-Identifier: GPL-3.0-or-later
"""The primary moves in one order; what fails before the new one is told to write is put back, and nothing after it."""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql import connection
from ansible_collections.pentad.webstack.plugins.module_utils.replication.switchover import STEPS
from ansible_collections.pentad.webstack.plugins.modules import mysql_switchover as module
from scripted_mysql import LOST, Recorded, error, recorded

OLD, NEW, THIRD = "/old.sock", "db2:3306", "db3:3306"
CHANGES = ("SET GLOBAL", "FLUSH TABLES", "UNLOCK", "STOP", "START", "RESET", "CHANGE", "KILL")
GONE = 1094


class Stage:
    """A primary, its replica and a third server, which obey what they are told."""

    def __init__(self, engine: str, network: Any, clock: Any, run_module: Any) -> None:
        self.engine, self.mariadb = engine, engine.startswith("mariadb")
        self.network, self.clock, self._run = network, clock, run_module
        self.wait = "MASTER_GTID_WAIT(" if self.mariadb else "WAIT_FOR_EXECUTED_GTID_SET("
        self.old, self.new = self._server(OLD, "primary"), self._server(NEW, "replica")
        self.steps: list[str] = []

    def third(self) -> Recorded:
        """Another replica of the old primary."""
        return self._server(THIRD, "replica")

    def _server(self, where: str, role: str) -> Recorded:
        rows = recorded(self.engine)[role]
        server = self.network.add(where, Recorded(rows, self.clock))
        for words in CHANGES:
            server.on(f"{words} ", [])
        for part, answer in {
            "GET_LOCK": {"held": 1},
            "CONNECTION_ID()": {"id": 9},
            "AS position": {"position": rows["position" if self.mariadb else "executed"], "owned": ""},
            self.wait: {"arrived": "0"},
            "UNIX_TIMESTAMP() AS now": {"now": 5000},
            "'Uptime'": {"Value": 1000},
        }.items():
            server.on(part, [answer])
        server.on("SHOW PROCESSLIST", [])
        server.deny("mysql.slave_master_info", 1142)
        server.on("AS closed", lambda *_: [{"closed": rows["variables"]["read_only"]}])
        for name, value in (("super_read_only", "ON"), ("read_only", "ON"), ("read_only", "OFF")):
            server.on(f"SET GLOBAL {name} = {value}", lambda *_, to=value: self._fence(rows, to))
        channel = recorded(self.engine)["replica"]["replica_status"]
        server.on(f"RESET {'SLAVE' if self.mariadb else 'REPLICA'}", lambda *_: rows.update(replica_status=[]) or [])
        server.on("CHANGE ", lambda *_: rows.update(replica_status=channel) or [])
        for verb, state in (("STOP", "No"), ("START", "Yes")):
            server.on(f"{verb} {'SLAVE' if self.mariadb else 'REPLICA'}", partial(self._switch, rows, state))
        for row in rows.get("connection_status") or []:
            row["SINCE_LAST_MESSAGE"] = 0.5
        return server

    def _switch(self, rows: dict[str, Any], state: str, statement: str, _values: Any) -> list[Any]:
        for thread in ("IO", "SQL"):
            if f"{thread}_THREAD" in statement or "_THREAD" not in statement:
                rows["replica_status"][0][f"{'Slave' if self.mariadb else 'Replica'}_{thread}_Running"] = state
        return []

    @staticmethod
    def _fence(rows: dict[str, Any], value: str) -> list[Any]:
        for name in ("read_only", "super_read_only"):
            if name in rows["variables"]:
                rows["variables"][name] = value
        return []

    @property
    def writable(self) -> tuple[bool, bool]:
        """Whether the old and the new one take writes."""
        old, new = (server.rows["variables"]["read_only"] == "OFF" for server in (self.old, self.new))
        return old, new

    def run(self, check: bool = False, **options: Any) -> dict[str, Any]:
        """What the module answers."""
        given = {
            "login_user": "root", "login_unix_socket": OLD, "name": "db1",
            "new_primary": {"name": "db2", "host": "db2"}, "peer_user": "switchover", "peer_password": "s3cret",
            "replication_password": "r3cret", **options,
        }  # fmt: skip
        answer = self._run(module, check=check, **given)
        assert "s3cret" not in str(answer)
        assert "r3cret" not in str(answer)
        self.steps = [each["name"] for each in answer.get("steps", [])]
        return answer

    def refused(self, **options: Any) -> str:
        """Why it was refused; then no server was told anything."""
        answer = self.run(**options)
        assert (answer["failed"], answer["outcome"]) == (True, "refused")
        assert not [*self.old.told_to(*CHANGES), *self.new.told_to(*CHANGES)]
        return answer["msg"]

    def undone(self, **options: Any) -> str:
        """Why it was undone; then all is as before."""
        answer = self.run(**options)
        assert (answer["failed"], answer["outcome"], self.writable) == (True, "undone", (True, False)), answer["msg"]
        assert self.new.rows["replica_status"]
        return answer["msg"]


@pytest.fixture(params=["mysql97", "mariadb118"])
def stage(request, network, clock, run_module, monkeypatch) -> Stage:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    # Nothing is encrypted here, and loading authorities takes time.
    monkeypatch.setattr(connection, "_tls", lambda _options: None)
    return Stage(request.param, network, clock, run_module)


# --- when all is well -----------------------------------------------------------------------------------------------


def test_the_primary_moves_in_one_order(stage):
    answer = stage.run()
    assert (answer["outcome"], stage.writable) == ("switched", (False, True)), answer.get("msg")
    assert stage.steps == [each for each in STEPS if each != "repoint"]
    assert stage.old.rows["replica_status"]
    assert answer["position"]


def test_check_mode_tells_the_steps_and_takes_none(stage):
    stage.third()
    answer = stage.run(check=True, replicas=[{"name": "db3", "host": "db3"}])
    assert (answer["outcome"], answer["changed"], stage.writable) == ("planned", True, (True, False))
    assert tuple(stage.steps) == STEPS
    assert not [*stage.old.told_to(*CHANGES), *stage.new.told_to(*CHANGES)]
    assert next(each["server"] for each in answer["steps"] if each["name"] == "open") == "db2"


def test_another_replica_follows_the_new_one(stage):
    third = stage.third()
    answer = stage.run(replicas=[{"name": "db3", "host": "db3"}])
    assert answer["outcome"] == "switched"
    (changed,) = third.told_to("CHANGE")
    assert "_HOST = 'db2'" in changed
    assert "PASSWORD" not in changed


def test_another_replica_that_does_not_answer_is_left_as_it_is(stage):
    answer = stage.run(replicas=[{"name": "db3", "host": "db3"}])
    assert answer["outcome"] == "switched"
    assert "db3 was left as it is, because it does not answer" in answer["problems"][0]


def test_sessions_of_clients_are_ended_and_others_are_not(stage):
    row = {"Host": "h", "Command": "Sleep", "Time": 1, "Info": None}
    stage.old.on("SHOW PROCESSLIST", [{"Id": n, "User": user, **row} for n, user in ((5, "app"), (6, "mysql-health"))])
    answer = stage.run(keep_users=["mysql-health"])
    assert [each["id"] for each in answer["ended_sessions"]] == [5]
    assert set(stage.old.told_to("KILL")) == {"KILL 5"}


def test_events_with_more_privileges_do_not_run_on_a_closed_mariadb(stage):
    stage.old.rows["variables"]["event_scheduler"] = "ON"
    assert stage.run()["scheduler_stopped"] is stage.mariadb
    assert ("SET GLOBAL event_scheduler = OFF" in stage.old.told) is stage.mariadb


# --- refused --------------------------------------------------------------------------------------------------------


def test_a_primary_that_is_none_is_refused(stage):
    stage.old.rows["replica_status"] = recorded(stage.engine)["replica"]["replica_status"]
    assert "db1 is not the primary: it follows" in stage.refused()


def test_a_closed_primary_is_refused(stage):
    stage._fence(stage.old.rows, "ON")
    assert "db1 takes no writes" in stage.refused()


def test_one_that_follows_another_is_refused(stage):
    stage.new.rows["replica_status"] = []
    assert "db2 does not follow db1 but nobody" in stage.refused()


def test_one_that_takes_writes_is_refused(stage):
    stage._fence(stage.new.rows, "OFF")
    assert "db2 follows db1 and takes writes" in stage.refused()


def test_one_that_does_not_answer_is_refused(stage):
    stage.new.refusal = LOST
    assert "Nothing was changed." in stage.refused()


def test_an_unhealthy_one_is_refused_with_its_verdict(stage):
    column = "Slave_SQL_Running" if stage.mariadb else "Replica_SQL_Running"
    stage.new.status[column] = "No"
    assert "db2 cannot take over: critical: db2: [sql_thread]" in stage.refused()


def test_a_second_switchover_is_refused(stage):
    stage.old.on("GET_LOCK", [{"held": 0}])
    assert "another switchover is under way" in stage.refused()


def test_a_lagging_one_is_refused_after_some_time(stage):
    def late(_statement: str, arguments: tuple[Any, ...]) -> list[Any]:
        stage.clock.sleep(max(arguments[1], 0.01))
        return [{"arrived": "-1" if stage.mariadb else "1"}]

    stage.new.on(stage.wait, late)
    assert "more than catch_up_timeout = 5 s" in stage.refused(catch_up_timeout=5)
    assert 5 <= sum(stage.clock.naps) < 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"new_primary": {"name": "db1", "host": "db2"}}, "db1 is named twice"),
        ({"max_lag": 0}, "max_lag = 0 is too little: use 0.01 or more"),
        ({"lock_timeout": 0}, "lock_timeout = 0 is too little: use 1 or more"),
        ({"apply_timeout": 0}, "apply_timeout = 0 is too little"),
        ({"catch_up_timeout": -1}, "catch_up_timeout = -1 is too little"),
    ],
)
def test_wrong_options_are_refused(stage, options, said):
    assert said in stage.run(**options)["msg"]


# --- undone ---------------------------------------------------------------------------------------------------------


def test_locked_tables_keep_it_from_being_closed(stage):
    stage.old.on("FLUSH TABLES" if stage.mariadb else "SET GLOBAL super_read_only = ON", error(1205))
    assert "could not be closed within 2 s" in stage.undone()
    assert stage.steps[-1] == "undo: take writes again"


@pytest.mark.parametrize("words", ["STOP", "RESET"])
def test_a_channel_that_cannot_be_retired_is_started_again(stage, words):
    stage.new.on(f"{words} ", error(1227, "Access denied"), [])
    assert "Access denied" in stage.undone()
    assert bool(stage.new.told_to("START")) is (words == "RESET")


def test_an_old_one_that_still_gets_writes_is_opened_again(stage):
    rows = stage.old.rows
    name = "position" if stage.mariadb else "executed"
    more = "0-10-999999" if stage.mariadb else "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-9"
    before, after = ([{"position": each, "owned": ""}] for each in (rows[name], more))
    # Read while it catches up, twice each when it was closed, and when both are compared.
    stage.old.on("AS position", before, before, before, before, after)
    assert "db1 and db2 differ" in stage.undone()


def test_a_refusal_to_open_is_undone(stage):
    stage.new.on("SET GLOBAL read_only = OFF", error(1227, "Access denied"))
    assert "Everything was put back, and db1 takes writes again." in stage.undone()
    (changed,) = stage.new.told_to("CHANGE")
    assert "PASSWORD" in changed


def test_what_nobody_foresaw_is_undone_as_well(stage):
    def fail(*_: Any) -> Any:
        raise KeyError("unforeseen")

    stage.new.on("UNIX_TIMESTAMP() AS now", fail)
    assert "unforeseen" in stage.undone()


def test_what_cannot_be_put_back_is_told(stage):
    stage.new.on("SET GLOBAL read_only = OFF", error(1227, "Access denied"))
    stage.new.on("CHANGE", error(1227, "Access denied"))
    answer = stage.run()
    assert (answer["outcome"], stage.writable) == ("undone", (True, False))
    assert "Not everything could be put back: db2 follows db1 again" in answer["msg"]


def test_one_that_was_started_anew_instead_of_opened_is_not_open(stage):
    stage.new.on("SET GLOBAL read_only = OFF", LOST)
    stage.new.on("'Uptime'", [{"Value": 1000}], [{"Value": 3}])
    assert "db2 was told to take writes, and has not done so." in stage.undone()


# --- the point of no return -----------------------------------------------------------------------------------------


def test_the_old_one_stays_closed_while_nobody_knows(stage):
    def die(*_: Any) -> Any:
        stage.new.refusal = LOST
        raise LOST

    stage.new.on("SET GLOBAL read_only = OFF", die)
    answer = stage.run()
    assert (answer["outcome"], stage.writable[0]) == ("unknown", False)
    assert "start db2 and run site.yml, which finds out" in answer["msg"]
    assert not [each for each in stage.steps if each.startswith("undo")]


def test_an_answer_that_was_lost_may_have_been_yes(stage):
    def opened(*_: Any) -> Any:
        stage._fence(stage.new.rows, "OFF")
        raise LOST

    stage.new.on("SET GLOBAL read_only = OFF", opened)
    stage.new.on("KILL 9", error(GONE))
    answer = stage.run()
    assert (answer["outcome"], stage.writable) == ("switched", (False, True))


def test_nothing_is_put_back_after_the_new_one_was_opened(stage):
    stage.old.on("CHANGE", error(1227, "Access denied"))
    answer = stage.run()
    assert (answer["outcome"], stage.writable) == ("switched", (False, True))
    assert any("Access denied" in each for each in answer["problems"])
