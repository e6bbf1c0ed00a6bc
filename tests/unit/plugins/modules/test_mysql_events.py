# SPDX-License-Identifier: GPL-3.0-or-later
"""Events that wait are enabled with their definers, and no others."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.modules import mysql_events as module
from scripted_mysql import Server, error

WAITING = [
    {"s": "shop", "n": "tidy", "definer": "o'hara@%"},
    {"s": "shop", "n": "100%", "definer": "a@b@localhost"},
    {"s": "other", "n": "tidy", "definer": "root@localhost"},
]
WANTED = [{"schema": "shop", "name": name} for name in ("tidy", "100%", "runs already")]


@pytest.fixture
def server(network) -> Server:
    found = network.add("/db.sock", Server())
    found.on("information_schema.EVENTS", WAITING)
    found.on("ALTER DEFINER", [])
    return found


def run(run_module, check: bool = False):
    return run_module(module, check=check, login_user="root", login_unix_socket="/db.sock", events=WANTED)


def test_events_that_wait_are_enabled_with_their_definers(server, run_module):
    answer = run(run_module)
    assert (answer["changed"], answer["enabled"]) == (True, ["shop.tidy", "shop.100%"])
    assert server.told_to("ALTER") == [
        "ALTER DEFINER = `o'hara`@`%` EVENT `shop`.`tidy` ENABLE",
        "ALTER DEFINER = `a@b`@`localhost` EVENT `shop`.`100%` ENABLE",
    ]


def test_check_mode_only_tells(server, run_module):
    answer = run(run_module, check=True)
    assert (answer["changed"], answer["enabled"]) == (True, ["shop.tidy", "shop.100%"])
    assert not server.told_to("ALTER")


def test_events_that_run_are_left_as_they_are(server, run_module):
    server.on("information_schema.EVENTS", [])
    assert run(run_module)["changed"] is False


@pytest.mark.parametrize(
    ("version", "words"),
    [("11.8.9-MariaDB", "DISABLE ON SLAVE"), ("9.7.0", "DISABLE ON REPLICA")],
)
def test_a_former_primary_runs_no_event_and_logs_nothing(network, run_module, version, words):
    server = network.add("/db.sock", Server(version=version))
    server.on("STATUS = 'ENABLED'", WAITING[:1])
    server.on("SET SESSION sql_log_bin = OFF", [])
    server.on("ALTER DEFINER", [])
    call = {"login_user": "root", "login_unix_socket": "/db.sock", "state": "waiting"}
    assert run_module(module, check=True, **call)["stopped"] == ["shop.tidy"]
    assert not server.told_to("SET SESSION sql_log_bin", "ALTER")
    answer = run_module(module, **call)
    assert (answer["changed"], answer["stopped"]) == (True, ["shop.tidy"])
    assert server.told_to("SET SESSION sql_log_bin", "ALTER") == [
        "SET SESSION sql_log_bin = OFF",
        f"ALTER DEFINER = `o'hara`@`%` EVENT `shop`.`tidy` {words}",
    ]
    server.on("STATUS = 'ENABLED'", [])
    assert run_module(module, **call)["changed"] is False


def test_a_refusal_is_told(server, run_module):
    server.on("ALTER DEFINER", error(1290, "The server is read-only"))
    assert "read-only" in run(run_module)["msg"]
