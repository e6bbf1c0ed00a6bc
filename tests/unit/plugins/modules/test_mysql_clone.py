# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy is run, waited for, and begun again where an earlier one was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scripted_mysql
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import ConnectionOptions
from ansible_collections.pentad.webstack.plugins.modules import mysql_clone
from scripted_mysql import Clock, Network


class Server:
    """A server that answers the questions of the module."""

    def __init__(self, values: dict[str, Any], rows: list[dict[str, Any]] | None = None) -> None:
        self.values, self._rows = values, rows or []
        self.asked: list[tuple[str, list[Any]]] = []

    def value(self, statement: str, values: list[Any] | None = None) -> Any:
        self.asked.append((statement, values or []))
        return next(value for part, value in self.values.items() if part in statement)

    def rows(self, _statement: str) -> list[dict[str, Any]]:
        return self._rows


DONOR = {"gtid_executed": "a:1-100", "gtid_purged": "a:1-10"}


@pytest.mark.parametrize(("subset", "expected"), [(1, True), (0, False), (None, False)])
def test_a_part_of_the_donor_whose_rest_is_still_logged_can_catch_up(subset, expected):
    local, donor = Server({"GTID_SUBSET": subset, "gtid_executed": "a:1-50"}), Server(DONOR)
    assert mysql_clone.can_catch_up(local, donor) is expected
    assert local.asked[-1][1] == ["a:1-50", "a:1-100", "a:1-10", "a:1-50"]


def test_a_server_that_has_executed_nothing_cannot_catch_up():
    donor = Server(DONOR)
    assert mysql_clone.can_catch_up(Server({"gtid_executed": ""}), donor) is False
    assert donor.asked == []


def test_schemas_of_the_server_itself_are_no_data():
    names = ["information_schema", "mysql", "performance_schema", "shop", "sys"]
    assert mysql_clone.user_schemas(Server({}, [{"name": name} for name in names])) == ["shop"]


# --- run against scripted servers -----------------------------------------------------------------------------------


def status(state: str, pid: int = 0, error_no: int = 0) -> dict[str, Any]:
    """What a server says of a copy."""
    return {"state": state, "pid": pid, "error_no": error_no, "error_message": ""}


# As MySQL 9.7 tells it after it was killed.
KILLED = status("In Progress", error_no=1317)


class Cloning:
    """A local server without data and a donor that has some, and the module that copies them."""

    def __init__(self, network: Network, clock: Clock, run_module: Any) -> None:
        self.clock, self._run = clock, run_module
        self.local = network.add("/s.sock", scripted_mysql.Server("8.4.8"))
        self.donor = network.add("192.0.2.31:3306", scripted_mysql.Server("8.4.8"))
        self.local.on("SET GLOBAL ", [])
        self.local.on("SHOW REPLICA STATUS", [])
        self.local.on("GTID_SUBSET", [{"part": 0}])
        self.local.on("SELECT @@GLOBAL.gtid_executed", [{"g": ""}])
        self.local.on("CLONE INSTANCE", scripted_mysql.error(3707, "Restart server failed"))
        self.states("Completed")
        self.schemas()
        for name, value in DONOR.items():
            self.donor.on(f"SELECT @@GLOBAL.{name}", [{name: value}])

    def schemas(self, *names: str) -> None:
        """Let there be databases on the local server."""
        self.local.on("information_schema.schemata", [{"name": name} for name in ("mysql", "sys", *names)])

    def states(self, *states: str) -> None:
        """What the server, which never made a copy before, says of this one, one after the other."""
        self.statuses([], *([status(state)] for state in states))

    def statuses(self, *rows: Any) -> None:
        """What the server says of its last copy from the beginning on, one after the other."""
        self.local.on("performance_schema.clone_status", *rows)

    def copy(self, check: bool = False, **options: Any) -> dict[str, Any]:
        """What the module answers, in which no password is shown."""
        given = {"donor_host": "192.0.2.31", "donor_user": "repl", "donor_password": "s3cret"}
        answer = self._run(
            mysql_clone, check=check, login_user="root", login_unix_socket="/s.sock", **{**given, **options}
        )
        assert "s3cret" not in str(answer)
        return answer

    @property
    def orders(self) -> list[str]:
        """What the local server was told to do."""
        return self.local.told_to("SET GLOBAL", "CLONE", "STOP", "RESET")


@pytest.fixture
def hosts(tmp_path, monkeypatch) -> Path:
    """The names that the machine knows."""
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost\n")
    monkeypatch.setattr(mysql_clone, "HOSTS", path)
    return path


@pytest.fixture
def cloning(network, clock, run_module, hosts) -> Cloning:
    """An empty server and its donor."""
    return Cloning(network, clock, run_module)


def test_an_empty_server_is_cloned_over_tls_and_waited_for(cloning):
    cloning.states("In Progress", "Completed")
    answer = cloning.copy()
    assert (answer["changed"], answer["reason"]) == (True, "the server is empty")
    assert cloning.orders == [
        "SET GLOBAL clone_valid_donor_list = '192.0.2.31:3306'",
        "SET GLOBAL super_read_only = OFF",
        "CLONE INSTANCE FROM 'repl'@'192.0.2.31':3306 IDENTIFIED BY 's3cret' REQUIRE SSL",
    ]
    assert cloning.clock.naps == [0.2]


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_would_arrive_without_its_rows_is_not_copied(cloning, check, overwrite):
    answer = cloning.copy(check=check, overwrite=overwrite, not_cloned=["shop.log (MyISAM)"])
    assert (answer["failed"], cloning.orders) == (True, [])
    assert "192.0.2.31 has tables that are not in InnoDB (shop.log (MyISAM))" in answer["msg"]


def test_a_server_that_is_not_copied_may_follow_one_with_any_tables(cloning):
    cloning.local.on("SHOW REPLICA STATUS", [{"Channel_Name": ""}])
    assert cloning.copy(not_cloned=["shop.log (MyISAM)"])["changed"] is False


def test_check_mode_tells_the_same_and_orders_nothing(cloning):
    answer = cloning.copy(check=True)
    assert (answer["changed"], answer["reason"], cloning.orders) == (True, "the server is empty", [])


def test_a_server_that_can_catch_up_is_left_to(cloning):
    cloning.local.on("SELECT @@GLOBAL.gtid_executed", [{"g": "a:1-50"}])
    cloning.local.on("GTID_SUBSET", [{"part": 1}])
    answer = cloning.copy()
    assert (answer["changed"], "catch up" in answer["reason"], cloning.orders) == (False, True, [])


def test_a_server_that_replicates_needs_no_donor(cloning):
    cloning.local.on("SHOW REPLICA STATUS", [{"Channel_Name": ""}])
    assert cloning.copy()["changed"] is False
    assert (cloning.donor.opened, cloning.orders) == ([], [])


def test_a_server_with_data_of_its_own_is_refused(cloning):
    cloning.schemas("shop")
    answer = cloning.copy()
    assert (answer["failed"], "holds data (shop)" in answer["msg"], cloning.orders) == (True, True, [])


def test_data_that_were_given_up_are_overwritten_without_comparing_them(cloning):
    cloning.schemas("shop")
    answer = cloning.copy(overwrite=True)
    assert (answer["changed"], answer["reason"]) == (True, "overwriting was requested")
    assert cloning.donor.told_to("SELECT @@GLOBAL") == []
    assert "CLONE" in cloning.orders[-1]


def test_the_donor_of_a_copy_is_verified_against_its_authority(cloning):
    params = {"donor_host": "192.0.2.31", "donor_port": 3306, "donor_user": "repl", "donor_password": "s3cret"}
    options = ConnectionOptions(user="root", unix_socket="/s.sock")
    mysql_clone.copy(options, {**params, "donor_ca_cert": "/ca.pem", "timeout": 5})
    assert "SET GLOBAL clone_ssl_ca = '/ca.pem'" in cloning.orders


@pytest.mark.parametrize("left", ["", "fd00::99 donor.clone.internal\n"], ids=["", "after one that was killed"])
@pytest.mark.parametrize("end", [3707, 3862], ids=["complete", "failed"])
def test_a_donor_with_an_ipv6_address_has_a_name_during_the_copy(cloning, network, hosts, left, end):
    network.servers["fd00::31:3306"] = cloning.donor
    before = hosts.read_text()
    hosts.write_text(before + left)
    known = []

    def clone(*_: Any) -> list[Any]:
        known.append(hosts.read_text())
        raise scripted_mysql.error(end)

    cloning.local.on("CLONE INSTANCE", clone)
    answer = cloning.copy(donor_host="fd00::31")
    assert bool(answer.get("failed")) is (end == 3862)
    assert "SET GLOBAL clone_valid_donor_list = 'donor.clone.internal:3306'" in cloning.orders
    [order] = [each for each in cloning.orders if each.startswith("CLONE")]
    assert order.startswith("CLONE INSTANCE FROM 'repl'@'donor.clone.internal':3306 ")
    assert known == [before + "fd00::31 donor.clone.internal\n"]
    assert hosts.read_text() == before


def test_check_mode_names_nobody(cloning, network, hosts):
    network.servers["fd00::31:3306"] = cloning.donor
    hosts.write_text("fd00::99 donor.clone.internal\n")
    assert cloning.copy(check=True, donor_host="fd00::31")["changed"] is True
    assert hosts.read_text() == "fd00::99 donor.clone.internal\n"


def test_names_that_cannot_be_written_are_told(cloning, network, hosts):
    network.servers["fd00::31:3306"] = cloning.donor
    hosts.unlink()
    hosts.mkdir()
    answer = cloning.copy(donor_host="fd00::31")
    assert answer["failed"] is True
    assert f"{hosts} cannot be changed" in answer["msg"]


@pytest.mark.parametrize("errno", [2006, 2013, 3707])
def test_a_restart_at_the_end_of_the_copy_is_no_failure(cloning, errno):
    cloning.local.on("CLONE INSTANCE", scripted_mysql.error(errno))
    assert cloning.copy()["changed"] is True


def test_a_copy_that_fails_leaves_the_server_fenced(cloning):
    cloning.local.on("CLONE INSTANCE", scripted_mysql.error(3862, "Clone Donor Error: 1045 : Access denied"))
    answer = cloning.copy()
    assert (answer["failed"], "Clone Donor Error" in answer["msg"]) == (True, True)
    assert cloning.orders[-1] == "SET GLOBAL super_read_only = ON"


def test_a_server_that_does_not_answer_while_it_restarts_is_waited_for(cloning):
    def gone(*_: Any) -> list[Any]:
        cloning.local.refusal = scripted_mysql.REFUSED
        cloning.clock.meanwhile += [lambda: None, lambda: setattr(cloning.local, "refusal", None)]
        raise scripted_mysql.LOST

    cloning.local.on("CLONE INSTANCE", gone)
    assert cloning.copy()["changed"] is True
    assert cloning.clock.naps == [0.2, 0.2]


def test_a_copy_that_the_server_calls_failed_is_not_waited_for(cloning):
    cloning.states("Failed")
    answer = cloning.copy()
    assert (answer["failed"], cloning.clock.naps) == (True, [])
    assert "the copy is Failed" in answer["msg"]


def test_a_server_that_does_not_come_back_is_told_with_what_was_seen_last(cloning):
    def gone(*_: Any) -> list[Any]:
        cloning.local.refusal = scripted_mysql.REFUSED
        raise scripted_mysql.LOST

    cloning.local.on("CLONE INSTANCE", gone)
    answer = cloning.copy(timeout=5)
    assert (answer["failed"], sum(cloning.clock.naps)) == (True, pytest.approx(5, abs=0.3))
    assert "the copy did not complete: /s.sock cannot be reached" in answer["msg"]


def test_a_donor_that_cannot_be_reached_is_told_by_its_address(cloning):
    cloning.donor.refusal = scripted_mysql.REFUSED
    answer = cloning.copy()
    assert (answer["failed"], "192.0.2.31:3306 cannot be reached" in answer["msg"], cloning.orders) == (True, True, [])


def test_data_that_were_given_up_stay_where_the_donor_cannot_be_reached(cloning):
    cloning.local.on("SHOW REPLICA STATUS", [{"Channel_Name": ""}])
    cloning.donor.refusal = scripted_mysql.REFUSED
    answer = cloning.copy(overwrite=True)
    assert (answer["failed"], cloning.orders) == (True, [])


def test_a_channel_is_removed_before_the_data_are_replaced(cloning):
    cloning.local.on("SHOW REPLICA STATUS", [{"Channel_Name": ""}])
    for order in ("STOP REPLICA", "RESET REPLICA ALL"):
        cloning.local.on(order, [])
    cloning.copy(overwrite=True)
    assert cloning.orders[:2] == ["STOP REPLICA", "RESET REPLICA ALL"]
    assert "CLONE" in cloning.orders[-1]


@pytest.mark.parametrize("last", [KILLED, status("Failed", error_no=3862), status("Completed")])
def test_an_empty_server_is_cloned_whatever_became_of_the_last_copy(cloning, last):
    cloning.statuses([last], [status("Completed")])
    answer = cloning.copy()
    assert (answer["changed"], answer["reason"]) == (True, "the server is empty")


def test_a_server_that_is_killed_while_it_copies_is_not_waited_for(cloning):
    cloning.local.on("CLONE INSTANCE", scripted_mysql.LOST)
    cloning.statuses([], [KILLED])
    answer = cloning.copy()
    assert (answer["failed"], cloning.clock.naps) == (True, [])
    assert "the next run begins again" in answer["msg"]


def test_a_copy_under_way_is_waited_for_and_not_repeated(cloning):
    copying = [status("In Progress", pid=17)]
    cloning.statuses(copying, copying, [status("Completed")])
    # What it finds at the end, after the restart.
    cloning.clock.meanwhile += [
        lambda: None,
        lambda: setattr(cloning.local, "refusal", scripted_mysql.REFUSED),
        lambda: setattr(cloning.local, "refusal", None),
    ]
    cloning.local.on("SELECT @@GLOBAL.gtid_executed", [{"g": "a:1-100"}])
    cloning.local.on("GTID_SUBSET", [{"part": 1}])
    answer = cloning.copy()
    assert (answer["changed"], cloning.orders, cloning.clock.naps) == (False, [], [0.2] * 3)


def test_a_copy_that_stays_under_way_is_told_after_the_timeout(cloning):
    cloning.statuses([status("In Progress", pid=17)])
    answer = cloning.copy(timeout=5)
    assert (answer["failed"], cloning.orders) == (True, [])
    assert "still under way after 5 s" in answer["msg"]


def test_a_server_without_the_plugin_never_made_a_copy(cloning):
    cloning.statuses(scripted_mysql.error(1146, "Table 'performance_schema.clone_status' doesn't exist"))
    cloning.local.on("SHOW REPLICA STATUS", [{"Channel_Name": ""}])
    assert cloning.copy()["changed"] is False


def test_a_server_that_restarts_is_waited_for(cloning):
    cloning.local.refusal = scripted_mysql.REFUSED
    cloning.clock.meanwhile += [lambda: None, lambda: setattr(cloning.local, "refusal", None)]
    assert cloning.copy()["changed"] is True
    assert cloning.clock.naps == [0.2, 0.2]
