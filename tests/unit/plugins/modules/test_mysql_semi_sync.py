# SPDX-License-Identifier: GPL-3.0-or-later
"""Semi-synchronous replication is switched on step by step, and nothing is run where it is on."""

from __future__ import annotations

from typing import Any

import pytest
import scripted_mysql
from ansible_collections.pentad.webstack.plugins.modules import mysql_semi_sync

VERSIONS = {"mysql": "9.7.4", "mariadb": "11.8.9-MariaDB"}
RECORDED = {"mysql": "mysql97", "mariadb": "mariadb118"}
WAITS = {"mysql": "rpl_semi_sync_source_enabled", "mariadb": "rpl_semi_sync_master_enabled"}
ALONE = {"mysql": "rpl_semi_sync_source_wait_no_replica", "mariadb": "rpl_semi_sync_master_wait_no_slave"}
REGISTERED = {"mysql": "Rpl_semi_sync_replica_status", "mariadb": "Rpl_semi_sync_slave_status"}
ACKNOWLEDGES = {"mysql": "rpl_semi_sync_replica_enabled", "mariadb": "rpl_semi_sync_slave_enabled"}
RESTARTED = {
    "mysql": ["STOP REPLICA IO_THREAD FOR CHANNEL ''", "START REPLICA IO_THREAD FOR CHANNEL ''"],
    "mariadb": ["STOP SLAVE '' IO_THREAD", "START SLAVE '' IO_THREAD"],
}
PLUGINS = [
    "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
    "INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'",
]


class Server(scripted_mysql.Recorded):
    """A recorded server with variables that are set, and plugins that are installed."""

    def __init__(self, engine: str, side: str, clock: scripted_mysql.Clock, **variables: str) -> None:
        super().__init__(scripted_mysql.recorded(RECORDED[engine])[side], clock)
        self.plugins: list[str] = []
        self.values: dict[str, str] = {WAITS[engine]: "OFF", ACKNOWLEDGES[engine]: "OFF", **variables}
        self.on("SHOW GLOBAL VARIABLES WHERE Variable_name = ", self._shown)
        self.registered = "ON"
        self.on("SHOW GLOBAL STATUS WHERE Variable_name = ", lambda *_: [{"Value": self.registered}])
        self.on("FROM information_schema.PLUGINS", lambda *_: [{"name": name} for name in self.plugins])
        self.on("INSTALL PLUGIN", [])
        self.on("SET GLOBAL", [])
        for words in ("STOP REPLICA", "START REPLICA", "STOP SLAVE", "START SLAVE"):
            self.on(words, [])

    def _shown(self, _statement: str, names: tuple[Any, ...]) -> list[dict[str, Any]]:
        return [{"Variable_name": name, "Value": self.values[name]} for name in names if name in self.values]

    @property
    def ran(self) -> list[str]:
        """What it was told to change."""
        return self.told_to("SET GLOBAL", "SET SESSION sql_log_bin", "INSTALL", "STOP", "START")


@pytest.fixture
def switch(run_module, network, clock):
    """What the module answers for a step on such a server, and the server."""

    def call(step: str, engine: str, side: str, check: bool = False, prepare: Any = None, **variables: str) -> Any:
        server = network.add("/s.sock", Server(engine, side, clock, **variables))
        if prepare:
            prepare(server)
        answer = run_module(mysql_semi_sync, check=check, step=step, login_user="root", login_unix_socket="/s.sock")
        return answer, server

    return call


def test_plugins_are_loaded_while_the_server_runs(switch):
    answer, server = switch("load", "mysql", "primary", super_read_only="OFF")
    assert (answer["changed"], server.ran) == (True, ["SET SESSION sql_log_bin = OFF", *PLUGINS])


def test_a_replica_is_open_to_administrators_only_while_plugins_are_loaded(switch):
    _answer, server = switch("load", "mysql", "replica", super_read_only="ON")
    fence = "SET GLOBAL super_read_only = "
    assert server.ran == [f"{fence}OFF", "SET SESSION sql_log_bin = OFF", *PLUGINS, f"{fence}ON"]


def test_a_replica_is_fenced_again_where_a_plugin_cannot_be_loaded(switch):
    missing = scripted_mysql.error(1126, "Can't open shared library")
    answer, server = switch(
        "load", "mysql", "replica", prepare=lambda server: server.on("INSTALL PLUGIN", missing), super_read_only="ON"
    )
    assert "Can't open shared library" in answer["msg"]
    assert server.ran[-1] == "SET GLOBAL super_read_only = ON"


def test_only_the_plugin_that_is_missing_is_loaded(switch):
    _answer, server = switch(
        "load", "mysql", "primary", prepare=lambda server: server.plugins.append("rpl_semi_sync_source")
    )
    assert server.told_to("INSTALL") == PLUGINS[1:]


def test_mariadb_has_no_plugin(switch):
    answer, server = switch("load", "mariadb", "primary")
    assert (answer["changed"], server.ran) == (False, [])


@pytest.mark.parametrize("engine", VERSIONS)
def test_a_receiver_that_runs_is_restarted_once_so_that_it_registers(switch, engine):
    answer, server = switch("register", engine, "replica")
    assert (answer["changed"], server.ran) == (
        True, [f"SET GLOBAL `{ACKNOWLEDGES[engine]}` = ON", *RESTARTED[engine]],
    )  # fmt: skip
    answer, server = switch("register", engine, "replica", **{ACKNOWLEDGES[engine]: "ON"})
    assert (answer["changed"], server.ran) == (False, [])


@pytest.mark.parametrize("engine", VERSIONS)
@pytest.mark.parametrize("side", ["primary", "replica"])
def test_a_receiver_that_an_earlier_run_has_not_restarted_is_restarted(switch, engine, side):
    def interrupt(server: Server) -> None:
        server.registered = "OFF"

    answer, server = switch("register", engine, side, prepare=interrupt, **{ACKNOWLEDGES[engine]: "ON"})
    assert server.ran == (RESTARTED[engine] if side == "replica" else [])
    assert answer["changed"] is (side == "replica")
    [asked] = server.told_to("SHOW GLOBAL STATUS WHERE")
    assert REGISTERED[engine].lower() in asked.lower()


@pytest.mark.parametrize("engine", VERSIONS)
def test_a_receiver_that_somebody_has_stopped_stays_stopped(switch, engine):
    column = "Slave_IO_Running" if engine == "mariadb" else "Replica_IO_Running"

    def stop(server: Server) -> None:
        server.rows["replica_status"][0][column] = "No"

    _answer, server = switch("register", engine, "replica", prepare=stop)
    assert server.ran == [f"SET GLOBAL `{ACKNOWLEDGES[engine]}` = ON"]


@pytest.mark.parametrize("engine", VERSIONS)
def test_commits_wait_once_that_is_switched_on(switch, engine):
    answer, server = switch("wait", engine, "primary")
    # In this order, because the applier of a replica would wait for replicas that it does not have.
    assert (answer["changed"], server.ran) == (
        True, [f"SET GLOBAL `{ALONE[engine]}` = OFF", f"SET GLOBAL `{WAITS[engine]}` = ON"],
    )  # fmt: skip
    answer, server = switch("wait", engine, "primary", **{WAITS[engine]: "ON"})
    assert (answer["changed"], server.ran) == (False, [])


@pytest.mark.parametrize("step", ["load", "register", "wait"])
def test_check_mode_runs_nothing_and_tells_the_same(switch, step):
    planned, server = switch(step, "mysql", "replica", check=True, super_read_only="ON")
    assert server.ran == []
    done, server = switch(step, "mysql", "replica", super_read_only="ON")
    assert planned["statements"] == done["statements"]
    assert (planned["changed"], done["changed"]) == (True, True)
