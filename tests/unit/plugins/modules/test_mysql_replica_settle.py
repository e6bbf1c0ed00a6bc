# SPDX-License-Identifier: GPL-3.0-or-later
"""A replica of a primary that is gone applies what it has received, and says what it has then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import mysql_replica_settle
from scripted_mysql import Recorded, recorded

SOCKET = "/db2.sock"


class Replica(Recorded):
    """A replica with transactions that it has received and not applied."""

    def __init__(self, engine: str, clock: Any) -> None:
        super().__init__(recorded(engine)["replica"], clock)
        self.mariadb = engine.startswith("mariadb")
        word = "SLAVE" if self.mariadb else "REPLICA"
        self.on(f"STOP {word}", self._switch("No"))
        self.on(f"START {word}", self._switch("Yes"))

    def _switch(self, state: str) -> Any:
        def run(statement: str, _arguments: Any) -> list[dict[str, Any]]:
            thread = "IO" if "IO_THREAD" in statement else "SQL"
            self.status[f"{'Slave' if self.mariadb else 'Replica'}_{thread}_Running"] = state
            return []

        return run

    def thread(self, name: str, state: str) -> None:
        self.status[f"{'Slave' if self.mariadb else 'Replica'}_{name}_Running"] = state

    @property
    def received(self) -> str:
        if self.mariadb:
            return self.status["Gtid_IO_Pos"]
        return self.rows["connection_status"][0]["RECEIVED_TRANSACTION_SET"]

    def behind(self, count: int) -> None:
        """Have it received so many transactions more than it has applied."""
        if self.mariadb:
            start, _dash, last = self.rows["slave_pos"].rpartition("-")
            self.status["Gtid_IO_Pos"] = f"{start}-{int(last) + count}"
            return
        source = self.status["Source_UUID"]
        self.rows["executed"] = f"{source}:1-100"
        self.rows["connection_status"][0]["RECEIVED_TRANSACTION_SET"] = f"{source}:1-{100 + count}"

    def apply(self) -> None:
        """Apply all of it."""
        if self.mariadb:
            self.rows["slave_pos"] = self.rows["position"] = self.received
        else:
            self.rows["executed"] = self.received

    def fail(self) -> None:
        """Stop the applier on an error."""
        self.thread("SQL", "No")
        self.status.update(Last_SQL_Errno="1062", Last_SQL_Error="Duplicate entry '7'")


@pytest.fixture(params=["mysql97", "mariadb118", "mariadb1011"])
def replica(request, network, clock):
    return network.add(SOCKET, Replica(request.param, clock))


@pytest.fixture
def settle(run_module):
    def run(check: bool = False, **more: Any) -> dict[str, Any]:
        return run_module(mysql_replica_settle, check=check, login_unix_socket=SOCKET, config_file="", **more)

    return run


def test_the_backlog_is_applied_before_it_says_what_it_has(replica, settle, clock):
    replica.behind(496)
    clock.meanwhile += [lambda: None, replica.apply]
    found = settle()
    assert (found["changed"], found["unapplied"], found["applied"], found["error"]) == (True, 0, 496, "")
    assert replica.received in found["history"]["applied" if replica.mariadb else "executed"]
    assert "IO_THREAD" in replica.told_to("STOP")[0]
    # Nothing else was stopped, and nothing was reset.
    assert len(replica.told_to("STOP", "RESET", "CHANGE")) == 1


def test_what_is_settled_stays_as_it_is(replica, settle):
    settle()
    found = settle()
    assert (found["changed"], found["applied"]) == (False, 0)
    assert len(replica.told_to("STOP")) == 1


def test_an_error_of_the_applier_ends_the_waiting_at_once(replica, settle, clock):
    replica.behind(3)
    clock.meanwhile.append(replica.fail)
    found = settle(timeout=600)
    assert (found["error"].partition(";")[0], found["unapplied"]) == ("1062: Duplicate entry '7'", 3)
    assert sum(clock.naps) < 1
    assert found["received"] != found["history"]
    assert replica.told_to("START") == []


def test_an_applier_that_was_stopped_is_started(replica, settle, clock):
    replica.behind(3)
    replica.thread("SQL", "No")
    clock.meanwhile.append(replica.apply)
    assert settle()["unapplied"] == 0
    assert len(replica.told_to("START")) == 1
    assert "SQL_THREAD" in replica.told_to("START")[0]


def test_mariadb_is_told_to_apply_while_it_still_receives(replica, settle, clock):
    """It deletes what it has received when one of the two is started while neither runs."""
    replica.behind(3)
    replica.thread("SQL", "No")
    clock.meanwhile.append(replica.apply)
    settle()
    assert [each.split()[0] for each in replica.told_to("START", "STOP")] == ["START", "STOP"]


def test_mariadb_where_neither_runs_is_left_alone(replica, settle):
    if not replica.mariadb:
        pytest.skip("MySQL keeps what it has received")
    replica.behind(3)
    replica.thread("SQL", "No")
    replica.thread("IO", "No")
    found = settle()
    assert replica.told_to("START", "STOP") == []
    assert "START SLAVE deletes the 3 transactions that are only in its relay logs: save these first" in found["error"]
    assert found["unapplied"] == 3


def test_mariadb_with_a_broken_applier_goes_on_receiving(replica, settle):
    replica.behind(3)
    replica.fail()
    found = settle()
    assert "1062: Duplicate entry" in found["error"]
    assert len(replica.told_to("STOP")) == (0 if replica.mariadb else 1)


def test_a_backlog_that_takes_too_long_is_no_answer(replica, settle):
    replica.behind(3)
    words = settle(timeout=5)["msg"]
    assert words.startswith("3 received transaction(s) are not applied after 5 s; what was applied stays applied")
    replica.status["SQL_Delay"] = "3600"
    assert "(it applies 3600 s late by its configuration)" in settle(timeout=5)["msg"]


def test_check_mode_stops_nothing_and_says_what_is_received(replica, settle, clock):
    replica.behind(3)
    found = settle(check=True)
    assert (found["changed"], found["unapplied"], clock.naps) == (True, 3, [])
    assert replica.told_to("STOP", "START") == []
    assert replica.received.rpartition(":")[2] in found["received"]["applied" if replica.mariadb else "executed"]


def test_a_server_without_a_channel_is_only_read(replica, settle):
    replica.rows["replica_status"] = []
    found = settle()
    assert (found["changed"], found["channels"], found["received"]) == (False, [], found["history"])


def test_only_the_last_reading_of_its_own_source_is_told(replica, settle, tmp_path):
    path = tmp_path / "source.json"
    source = replica.status["Master_Server_Id"] if replica.mariadb else replica.status["Source_UUID"]
    for identity, told in ((source, True), ("99", False)):
        path.write_text(json.dumps({"identity": str(identity), "executed": "x"}))
        assert bool(settle(source_path=str(path))["source"]) is told
    path.write_text("half of a fi")
    assert settle(source_path=str(path))["source"] == {}


def test_a_source_of_which_a_restart_left_no_name_may_be_any(replica, settle, tmp_path):
    path = tmp_path / "source.json"
    path.write_text(json.dumps({"identity": "99"}))
    number = "Master_Server_Id" if replica.mariadb else "Source_Server_Id"
    replica.status.update({number: "0", "Source_UUID": ""})
    assert settle(source_path=str(path))["source"] == {"identity": "99"}
