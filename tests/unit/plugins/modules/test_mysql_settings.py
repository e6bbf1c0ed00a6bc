# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings are compared by their meaning, set where the server can, and otherwise left for a restart."""

from __future__ import annotations

import os
import time
from decimal import Decimal
from typing import Any

import pytest
import scripted_mysql
from ansible_collections.pentad.webstack.plugins.module_utils.mysql import values as mysql_values
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.values import Limits
from ansible_collections.pentad.webstack.plugins.modules import mysql_settings
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("running", "wanted"),
    [
        ("ON", "ON"),
        ("ON", "on"),
        ("ON", True),
        ("ON", "Yes"),
        ("ON", 1),
        ("OFF", False),
        ("OFF", "no"),
        ("1", True),
        ("1024", "1K"),
        ("134217728", "128M"),
        ("134217728", "128m"),
        ("8589934592", "8G"),
        ("2199023255552", "2T"),
        ("0.500000", 0.5),
        ("0.500000", "0.5"),
        ("0.500000", "500e-3"),
        ("2.000000", 2),
        ("-1", -1),
        ("ROW", " row "),
        ("TLSv1.2,TLSv1.3", "TLSv1.3, TLSv1.2"),
        ("/var/lib/mysql/", "/var/lib/mysql"),
        ("./error.log", "error.log"),
        ("/var/lib/mysql/db1.pid", "db1.pid"),
        ("", ""),
    ],
)
def test_two_spellings_of_a_value_are_the_same(running, wanted):
    assert mysql_values.same(running, wanted, datadir="/var/lib/mysql/")


@pytest.mark.parametrize(
    ("running", "wanted"),
    [
        ("ON", False),
        ("ON", "binlog"),
        ("OFF_PERMISSIVE", "ON"),
        ("100", 200),
        ("100", "1M"),
        ("10.000000", 0.5),
        ("ROW", "MIXED"),
        ("M", "1M"),
        ("1", "1MB"),
        ("TLSv1.2,TLSv1.3", "TLSv1.3"),
        ("/var/log/a", "/var/log/A"),
    ],
)
def test_two_values_are_not_the_same(running, wanted):
    assert not mysql_values.same(running, wanted, datadir="/var/lib/mysql/")


@given(st.integers(min_value=0, max_value=2**40), st.sampled_from("KMGTPE"))
def test_a_unit_is_its_factor(number, unit):
    assert mysql_values.number(f"{number}{unit}") == number * 1024 ** ("KMGTPE".index(unit) + 1)


@pytest.mark.parametrize(
    ("running", "wanted", "limits", "expected"),
    [
        # As real servers made them of these.
        ("999424", 1000000, Limits(Decimal(1024), Decimal(2**30)), True),
        ("36864", 40000, Limits(Decimal(4096), None), True),
        ("268435456", "130M", Limits(Decimal(5242880), None, 2**27), True),
        ("134217728", "130M", Limits(Decimal(5242880), None, 2**27), False),
        ("100000", 200000, Limits(Decimal(1), Decimal(100000)), True),
        ("1", 0, Limits(Decimal(1), Decimal(100000)), True),
        ("150", 200, Limits(Decimal(1), Decimal(100000)), False),
    ],
)
def test_what_the_server_makes_of_a_number_is_the_same(running, wanted, limits, expected):
    assert mysql_values.same(running, wanted, limits) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ON", "ON"),
        (True, "ON"),
        ("no", "OFF"),
        ("1M", 1048576),
        (0.5, 0.5),
        ("0.5", 0.5),
        ("2", 2),
        ("2.0", 2.0),
        ("row", "row"),
        ("+00:00", "+00:00"),
    ],
)
def test_a_statement_gets_numbers_as_numbers_and_words_as_words(value, expected):
    """C(gtid_mode = 1) is OFF_PERMISSIVE, and C(long_query_time = '0.5') an error."""
    found = mysql_values.bound(value)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("name", "engine", "expected"),
    [
        ("max-connections", "mysql", "max_connections"),
        ("Max_Connections", "mysql", "max_connections"),
        ("time_zone", "mysql", "default_time_zone"),
        ("slave-net-timeout", "mysql", "replica_net_timeout"),
        ("replica_net_timeout", "mariadb", "slave_net_timeout"),
        ("loose-rpl-x", "mysql", "loose_rpl_x"),
    ],
)
def test_a_setting_has_one_name(name, engine, expected):
    assert mysql_values.option_name(name, engine) == expected


# --- the module -----------------------------------------------------------------------------------------------------


class Settings(scripted_mysql.Server):
    """A server with a few variables: which sessions have, which are global and numbers, and which need a restart."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: dict[str, str] = {
            "max_connections": "151",
            "super_read_only": "OFF",
            "server_id": "1",
            "sql_mode": "NO_ZERO_DATE,STRICT_TRANS_TABLES",
            "gtid_mode": "OFF",
            "concurrent_insert": "AUTO",
        }
        self.uptime = 1000
        self.on("SHOW GLOBAL VARIABLES", self._shown)
        self.on("SHOW SESSION VARIABLES", [{"Variable_name": "sql_mode", "Value": "NO_ZERO_DATE,STRICT_TRANS_TABLES"}])
        self.on("SHOW GLOBAL STATUS", lambda *_: [{"Variable_name": "Uptime", "Value": str(self.uptime)}])
        self.on("performance_schema.variables_info", [{"name": "max_connections", "low": "1", "high": "100000"}])
        self.on("SET GLOBAL", self._set)
        self.on("SET GLOBAL `server_id`", scripted_mysql.error(1238))
        self.on("SET GLOBAL `gtid_mode`", scripted_mysql.error(1788, "one step at a time"))
        self.on("SET SESSION", scripted_mysql.error(1229, "is a GLOBAL variable"))
        self.on("SET SESSION `sql_mode`", [])

    def _shown(self, _statement: str, names: tuple[Any, ...]) -> list[dict[str, Any]]:
        return [{"Variable_name": name, "Value": self.variables[name]} for name in names if name in self.variables]

    def _set(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        name = statement.split()[2].strip("`")
        if values and not (name == "concurrent_insert" and values[0] == 1):
            self.variables[name] = str(values[0])
        return []


@pytest.fixture
def server(network) -> Settings:
    return network.add("/s.sock", Settings())


@pytest.fixture
def setting(run_module, server):
    """What the module answers to these settings."""

    def call(settings: dict[str, Any], check: bool = False, **options: Any) -> dict[str, Any]:
        return run_module(
            mysql_settings, check=check, settings=settings, login_user="root", login_unix_socket="/s.sock", **options
        )

    return call


def test_a_scheduler_that_was_disabled_at_the_start_needs_a_restart(setting, server):
    server.variables["event_scheduler"] = "DISABLED"
    server.on("SET GLOBAL `event_scheduler`", scripted_mysql.error(1290, "running with --event-scheduler=DISABLED"))
    answer = setting({"event_scheduler": False})
    assert (answer["changed"], answer["restart_required"]) == (False, ["event_scheduler"])


def test_a_resized_pool_is_waited_for(setting, server, clock, monkeypatch):
    monkeypatch.setattr(mysql_settings, "time", clock)
    server.variables["innodb_buffer_pool_size"] = "134217728"
    server.on("SET GLOBAL `innodb_buffer_pool_size`", [])
    clock.meanwhile = [lambda: None, lambda: server.variables.update(innodb_buffer_pool_size="268435456")]
    assert setting({"innodb_buffer_pool_size": "256M"})["live"] == ["innodb_buffer_pool_size"]
    assert setting({"innodb_buffer_pool_size": "256M"})["live"] == []
    assert setting({"innodb_buffer_pool_size": "512M"})["live"] == ["innodb_buffer_pool_size"], "goes on by itself"
    assert sum(clock.naps) == pytest.approx(30, abs=1)


def test_what_differs_is_set_and_what_cannot_is_told(setting, server):
    answer = setting({"max-connections": "1K", "super_read_only": True, "server_id": 2, "loose_option": 1})
    assert answer["changed"] is True
    assert (answer["live"], answer["restart_required"]) == (["max_connections", "super_read_only"], ["server_id"])
    assert (server.variables["max_connections"], server.variables["super_read_only"]) == ("1024", "ON")
    assert answer["diff"]["before"] == "max_connections = 151\nsuper_read_only = OFF\n"


def test_nothing_is_asked_where_the_spelling_tells(setting, server):
    answer = setting({"max_connections": 151})
    assert (answer["changed"], len(server.opened), len(server.told)) == (False, 1, 2)


def test_a_word_is_compared_by_what_a_session_makes_of_it(setting, server):
    answer = setting({"sql_mode": "TRADITIONAL"})
    assert (answer["changed"], server.told_to("SET")) == (False, ["SET SESSION `sql_mode` = 'TRADITIONAL'"])
    # The session in which it was tried is no longer there.
    assert (len(server.opened), server.closed) == (2, 2)


def test_a_word_of_which_the_server_makes_what_it_was_is_no_change(setting):
    assert setting({"concurrent_insert": "1"})["changed"] is False


def test_check_mode_sets_nothing_and_tells_the_same(setting, server):
    before = dict(server.variables)
    settings = {"max_connections": 200, "server_id": 2}
    answer = setting(settings, check=True)
    assert server.variables == before
    done = setting(settings)
    for key in ("changed", "live", "restart_required", "diff"):
        assert answer[key] == done[key]


def test_any_other_error_is_a_failure_that_names_the_setting(setting, server):
    server.on("SET GLOBAL `max_connections`", scripted_mysql.error(1231, "no such value"))
    answer = setting({"max_connections": 2})
    assert answer["failed"] is True
    assert "max_connections = 2 was refused: /s.sock: no such value" in answer["msg"]


def test_the_mode_of_gtids_is_not_changed_in_one_step(setting):
    assert "mysql_server_enable_gtid" in setting({"gtid_mode": "ON"})["msg"]


def test_a_server_that_was_started_with_its_configuration_needs_no_restart(setting, server, tmp_path):
    file = tmp_path / "server.cnf"
    file.write_text("server_id = 2\n")
    assert setting({"server_id": 2}, configuration=str(file))["restart_required"] == ["server_id"]
    os.utime(file, (time.time() - 2000,) * 2)
    assert setting({"server_id": 2}, configuration=str(file))["restart_required"] == []


# --- a server that restarts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [scripted_mysql.REFUSED, scripted_mysql.LOST])
def test_a_local_server_that_restarts_is_waited_for(network, clock, run_module, refusal):
    server = network.add("/s.sock", scripted_mysql.Server())
    server.on("SHOW GLOBAL VARIABLES", [])
    server.refusal = refusal
    clock.meanwhile += [lambda: None, lambda: setattr(server, "refusal", None)]
    answer = run_module(mysql_settings, settings={"server_id": 2}, login_user="root", login_unix_socket="/s.sock")
    assert (answer["changed"], clock.naps) == (False, [0.2, 0.2])


def test_a_local_server_that_does_not_come_is_told(network, clock, run_module):
    network.add("/s.sock", scripted_mysql.Server()).refusal = scripted_mysql.REFUSED
    answer = run_module(mysql_settings, settings={"server_id": 2}, login_user="root", login_unix_socket="/s.sock")
    assert (answer["failed"], sum(clock.naps)) == (True, pytest.approx(30, abs=0.3))
    assert "cannot be reached" in answer["msg"]


@pytest.mark.parametrize(
    ("address", "options", "refusal"),
    [
        ("192.0.2.31:3306", {"login_host": "192.0.2.31"}, scripted_mysql.REFUSED),
        ("/s.sock", {"login_unix_socket": "/s.sock"}, scripted_mysql.error(1045, "Access denied")),
    ],
)
def test_nothing_else_is_waited_for(network, clock, run_module, address, options, refusal):
    network.add(address, scripted_mysql.Server()).refusal = refusal
    answer = run_module(mysql_settings, settings={"server_id": 2}, login_user="root", **options)
    assert (answer["failed"], clock.naps) == (True, [])
