# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings are compared by their meaning, set where the server can, and otherwise left for a restart."""

from __future__ import annotations

from typing import Any

import pytest
import scripted_mysql
from ansible_collections.pentad.webstack.plugins.module_utils.mysql_connection import DatabaseError
from ansible_collections.pentad.webstack.plugins.modules import mysql_settings
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ON", "1"),
        ("on", "1"),
        (True, "1"),
        ("Yes", "1"),
        (1, "1"),
        ("OFF", "0"),
        (False, "0"),
        ("no", "0"),
        ("1K", "1024"),
        ("128M", "134217728"),
        ("128m", "134217728"),
        ("8G", "8589934592"),
        ("2T", "2199023255552"),
        (" ROW ", "ROW"),
        ("TLSv1.2,TLSv1.3", "TLSv1.2,TLSv1.3"),
        ("", ""),
        ("M", "M"),
        ("1MB", "1MB"),
    ],
)
def test_a_value_has_one_form(value, expected):
    assert mysql_settings.normalised(value) == expected


@given(st.integers(min_value=0, max_value=2**40), st.sampled_from("KMGT"))
def test_a_unit_is_its_factor(number, unit):
    assert mysql_settings.normalised(f"{number}{unit}") == str(number * 1024 ** ("KMGT".index(unit) + 1))


@pytest.mark.parametrize(
    ("running", "wanted", "expected"),
    [
        ({"a": "ON"}, {"a": True}, {}),
        ({"a": "134217728"}, {"a": "128M"}, {}),
        ({"a": "OFF"}, {"a": True}, {"a": ("OFF", "True")}),
        ({"a": "100"}, {"a": 200}, {"a": ("100", "200")}),
        ({"a": "1", "b": "2"}, {"a": 1, "b": 3}, {"b": ("2", "3")}),
        ({}, {"no_variable": 1}, {}),
        ({"a": "ROW"}, {"a": "row"}, {"a": ("ROW", "row")}),
        # Its value is a name in the file and a switch in the server.
        ({"log_bin": "ON"}, {"log_bin": "binlog"}, {}),
        ({"log_bin": "OFF"}, {"log_bin": "binlog"}, {"log_bin": ("OFF", "binlog")}),
        ({"other": "ON"}, {"other": "binlog"}, {"other": ("ON", "binlog")}),
    ],
)
def test_what_means_the_same_does_not_differ(running, wanted, expected):
    assert mysql_settings.differing(running, wanted) == expected


class Connection:
    """A server with three variables, of which one needs a restart."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"max_connections": "151", "super_read_only": "OFF", "server_id": "1"}
        self.statements: list[tuple[str, list[Any]]] = []

    def __call__(self, _options: Any) -> Connection:
        return self

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def rows(self, statement: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
        self.statements.append((statement, values or []))
        if statement.startswith("SHOW"):
            return [{"Variable_name": name, "Value": self.values[name]} for name in values if name in self.values]
        name = statement.split()[2].strip("`")
        if name == "server_id":
            raise DatabaseError("read only", 1238)
        if name == "broken":
            raise DatabaseError("no such value", 1231)
        if values:
            self.values[name] = values[0]
        return []


@pytest.fixture
def connection(monkeypatch):
    server = Connection()
    monkeypatch.setattr(mysql_settings, "connect_to_starting", server)
    return server


def test_what_differs_is_set_and_what_cannot_is_told(run_module, connection):
    answer = run_module(
        mysql_settings,
        settings={"max_connections": "1K", "super_read_only": True, "server_id": 2, "loose_option": 1},
        login_unix_socket="/socket",
    )
    assert answer["changed"] is True
    assert (answer["live"], answer["restart_required"]) == (["max_connections", "super_read_only"], ["server_id"])
    assert (connection.values["max_connections"], connection.values["super_read_only"]) == (1024, 1)
    assert answer["diff"]["before"] == "max_connections = 151\nsuper_read_only = OFF\n"


def test_nothing_is_set_where_nothing_differs(run_module, connection):
    answer = run_module(mysql_settings, settings={"max_connections": 151}, login_unix_socket="/socket")
    assert (answer["changed"], len(connection.statements)) == (False, 1)


def test_check_mode_sets_nothing_and_tells_the_same(run_module, connection):
    before = dict(connection.values)
    settings = {"max_connections": 200, "server_id": 2}
    told = run_module(mysql_settings, check=True, settings=settings, login_unix_socket="/socket")
    assert connection.values == before
    done = run_module(mysql_settings, settings=settings, login_unix_socket="/socket")
    for key in ("changed", "live", "restart_required", "diff"):
        assert told[key] == done[key]


def test_any_other_error_is_a_failure(run_module, connection):
    connection.values["broken"] = "1"
    answer = run_module(mysql_settings, settings={"broken": 2}, login_unix_socket="/socket")
    assert answer["failed"] is True
    assert "no such value" in answer["msg"]


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
