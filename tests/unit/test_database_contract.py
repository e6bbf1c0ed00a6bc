# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight says of the databases: settings, accounts, and servers that were there before."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.plugin_utils import database_contract as contract
from test_inventory_contract import stack

LONG = "x" * 40


def told(changes: dict[str, dict[str, Any]], **groups: list[str]) -> list[str]:
    """What all judges say."""
    found = stack(changes, **groups)
    return [problem for judge in contract.JUDGES for problem in judge(found)]


def server(variables: dict[str, str] | None = None, **found: Any) -> dict[str, Any]:
    """A survey that found a server with data that runs."""
    database = {"engine": "mysql", "schemas": ["shop"], "datadir": "/var/lib/mysql", "elsewhere": {}}
    said = {"variables": {"gtid_mode": "ON", "lower_case_table_names": "0", **(variables or {})}, "time_zones": True}
    return {"webstack_survey": {"listeners": [], "database": {**database, "server": said, **found}}}


MEDIUM = {
    "validate_password.policy": "MEDIUM",
    "validate_password.length": "8",
    "validate_password.mixed_case_count": "1",
    "validate_password.number_count": "1",
    "validate_password.special_char_count": "1",
    "validate_password.check_user_name": "ON",
}
GOOD = {variable: "G00d-enough!" for variable in contract.ACCOUNTS.values() if variable}

RIGHT = {
    "nothing given": {},
    "settings": {"db1": {"mysql_server_settings": {"max-connections": 300, "sql_mode": "", "skip-name-resolve": None}}},
    "longest password of a channel": {"db1": {"webstack_replication_password": "x" * 32}},
    "other passwords may be longer": {"db1": {"webstack_app_password": LONG}},
    "MariaDB takes more": {"db1": {"webstack_replication_password": LONG, "webstack_mysql_engine": "mariadb"}},
    "rules that are met": {"db1": {**server(MEDIUM), **GOOD}},
    "rules that ask for little": {"db1": server({**MEDIUM, "validate_password.policy": "LOW"})},
    "rules that are to come": {
        "db1": {**server(MEDIUM), "mysql_server_settings": {"validate_password.policy": "LOW"}},
    },
    "a server that is as it should be": {"db1": server()},
}
WRONG = {
    "two spellings": (
        {"db1": {"mysql_server_settings": {"max-connections": 300, "max_connections": 200}}},
        ["db1: mysql_server_settings: max-connections and max_connections are the same setting, with the values 300 "
         "and 200: keep one of them."],
    ),
    "a list": (
        {"db2": {"mysql_server_settings": {"sql_mode": ["ANSI"]}}},
        ["db2: mysql_server_settings: sql_mode = ['ANSI'] is not one line: write it as in the server's option file, "
         "lists with commas."],
    ),
    "two lines": (
        {"db2": {"mysql_server_settings": {"init_connect": "a\nb"}}},
        ["db2: mysql_server_settings: init_connect = 'a\\nb' is not one line: write it as in the server's option file, "
         "lists with commas."],
    ),
    "password of a channel": (
        {"db1": {"webstack_replication_password": LONG}},
        ["db1: webstack_replication_password has 40 bytes and a replication channel of mysql takes 32: "
         "give a shorter one."],
    ),
    "in bytes": (
        {"db1": {"webstack_replication_password": "ä" * 17}},
        ["db1: webstack_replication_password has 34 bytes and a replication channel of mysql takes 32: "
         "give a shorter one."],
    ),
    "MariaDB": (
        {"db1": {"webstack_replication_password": "x" * 97, "webstack_mysql_engine": "mariadb"}},
        ["db1: webstack_replication_password has 97 bytes and a replication channel of mariadb takes 96: "
         "give a shorter one."],
    ),
    "empty": (
        {"db1": {"webstack_app_password": ""}},
        ["db1: webstack_app_password is empty: give a password, or leave the variable out to have one generated."],
    ),
    "line break": (
        {"db1": {"webstack_app_password": "secret\n"}},
        ["db1: webstack_app_password contains a line break or another control character: a vault value often ends in "
         "one; remove it."],
    ),
    "name of an account": (
        {"db1": {"webstack_replication_user": "r" * 33}},
        [f"db1: webstack_replication_user = '{'r' * 33}' cannot name an account: letters, digits, '_', '.' and '-', at "
         "most 32."],
    ),
    "rules of passwords": (
        {"db1": {**server(MEDIUM), **GOOD, "webstack_app_password": "allsmall1!"}},
        ["db1: webstack_app_password has 0 capital letters and the server's validate_password.mixed_case_count asks "
         "for 1: give one that has, or lower the server's rule."],
    ),
    "a password that would be generated": (
        {"db1": {**server(MEDIUM), **GOOD, "webstack_app_password": None}},
        ["db1: webstack_app_password has 0 special characters and the server's validate_password.special_char_count "
         "asks for 1: give one that has, or lower the server's rule."],
    ),
    "the account's name": (
        {"db1": {**server({**MEDIUM, "validate_password.policy": "LOW", "validate_password.length": "3"}), **GOOD,
                 "webstack_app_password": "APP"}},
        ["db1: webstack_app_password is the name of its account, which the server's validate_password.check_user_name "
         "forbids: give another."],
    ),
    "rules of the plugin, an account of the user": (
        {"db1": {**server({"validate_password_policy": "1", "validate_password_length": "20"}), **GOOD,
                 **dict.fromkeys(GOOD, "G00d-enough-to-be-taken!"),
                 "mysql_primary_accounts": [{"name": "report", "password": "Short-1!"}]}},
        ["db1: mysql_primary_accounts[report].password has 8 characters and the server's validate_password.length asks "
         "for 20: give one that has, or lower the server's rule."],
    ),
    "rules of MariaDB": (
        {"db1": {**server({"simple_password_check_other_characters": "1"}), "webstack_mysql_engine": "mariadb", **GOOD,
                 "webstack_app_password": "Aa1Aa1Aa1"}},
        ["db1: webstack_app_password has 0 special characters and the server's simple_password_check.other_characters "
         "asks for 1: give one that has, or lower the server's rule."],
    ),
}  # fmt: skip


def without_none(changes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Variables that are not given."""
    return {host: {k: v for k, v in given.items() if v is not None} for host, given in changes.items()}


@pytest.mark.parametrize("changes", RIGHT.values(), ids=RIGHT)
def test_what_is_right_is_not_spoken_of(changes):
    assert told(changes) == []


@pytest.mark.parametrize(("changes", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_host_variable_and_fix(changes, expected):
    assert told(without_none(changes)) == expected


def test_no_password_is_told():
    changes = {"db1": {**server(MEDIUM), **dict.fromkeys(GOOD, "Geheimnis")}}
    assert "geheimnis" not in " ".join(told(changes)).lower()
