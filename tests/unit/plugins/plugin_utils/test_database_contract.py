# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight says of the databases: settings, accounts, and servers that were there before."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.plugin_utils import database_contract as contract
from inputs import stack

LONG = "x" * 40


def told(changes: dict[str, dict[str, Any]], **groups: list[str]) -> list[str]:
    """The problems that all checks find."""
    found = stack(changes, **groups)
    return [problem for check in contract.CHECKS for problem in check(found)]


def server(variables: dict[str, str] | None = None, **found: Any) -> dict[str, Any]:
    """A survey that found a server with data that runs."""
    database = {"engine": "mysql", "schemas": ["shop"], "datadir": "/var/lib/mysql", "elsewhere": {}}
    said = {"variables": {"gtid_mode": "ON", "lower_case_table_names": "0", **(variables or {})}, "time_zones": True}
    return {"__webstack_survey": {"listeners": [], "database": {**database, "server": said, **found}}}


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
    "GTIDs that may be turned on": {"db1": {**server({"gtid_mode": "OFF"}), "mysql_server_enable_gtid": ["db1"]}},
    "GTIDs are off on a server without data": {"db1": server({"gtid_mode": "OFF"}, schemas=[])},
    "letter case on new servers": dict.fromkeys(
        ("db1", "db2"), {"mysql_server_settings": {"lower-case-table-names": 1}, **server(schemas=[])}
    ),
    "letter case as it is": dict.fromkeys(
        ("db1", "db2"),
        {"mysql_server_settings": {"lower_case_table_names": "1"}, **server({"lower_case_table_names": "1"})},
    ),
    "page size as it is": {
        "db1": {"mysql_server_settings": {"innodb_page_size": "16K"}, **server({"innodb_page_size": "16384"})},
    },
    "semi-synchronous": dict.fromkeys(("db1", "db2"), {"webstack_semi_sync": True}),
    "replicas that nobody waits for": dict.fromkeys(("db1", "db2"), {"webstack_semi_sync_replicas": 2}),
    "plugins of the user besides": dict.fromkeys(
        ("db1", "db2"),
        {
            "webstack_semi_sync": True,
            "mysql_server_settings": {"plugin-load-add": "audit.so;semisync_source.so;semisync_replica.so"},
        },
    ),
    "another disk": {"db1": {"mysql_server_settings": {"datadir": "/srv/mysql"}}},
    "a known time zone": {"db1": {"mysql_server_settings": {"time_zone": "Europe/Zurich"}, **server()}},
    "an offset": {"db1": {"mysql_server_settings": {"default-time-zone": "+01:00"}}},
    "tables that nobody copies": {
        "db1": server(server={"not_cloned": ["shop.log (MyISAM)"]}),
        "db2": server(),
    },
    "one password for all": dict.fromkeys(("db1", "db2"), {"webstack_mysql_login_password": "s3cret"}),
}
WRONG = {
    **{
        f"decided elsewhere: {name}": (
            {"db1": {"mysql_server_settings": {name: "x"}}},
            [f"db1: mysql_server_settings: {name} = 'x' would not be known to the other nodes: "
             f"remove it and set {variable}."],
        )
        for name, variable in {
            "port": "webstack_mysql_port",
            "Socket": "webstack_mysql_socket",
            "server-id": "mysql_server_id",
            "loose-bind_address": "mysql_server_addresses",
            "REPORT_HOST": "webstack_address",
        }.items()
    },
    **{
        f"no database host in {name}": (
            dict.fromkeys(("db1", "db2"), {name: ["db2", "web12"]}),
            [f"{name} = 'web12' names no host of group mysql: name one of db1, db2."],
        )
        for name in ("mysql_replica_rebuild", "mysql_server_enable_gtid")
    },
    "more acknowledgements than replicas": (
        {"db1": {"webstack_semi_sync": True, "webstack_semi_sync_replicas": 2}},
        ["db1: webstack_semi_sync_replicas = 2, and the group mysql has 1 host(s) besides it: use 1 or less."],
    ),
    "more acknowledgements than MariaDB waits for": (
        {"db1": {"webstack_semi_sync": True, "webstack_semi_sync_replicas": 2, "webstack_mysql_engine": "mariadb"}},
        ["db1: webstack_semi_sync_replicas = 2, and the group mysql has 1 host(s) besides it: use 1 or less.",
         "db1: webstack_semi_sync_replicas = 2, and MariaDB waits for one replica: use 1."],
    ),
    "plugins without those of semi-synchronous replication": (
        {"db1": {"webstack_semi_sync": True, "mysql_server_settings": {"plugin_load_add": "semisync_source.so"}}},
        ["db1: mysql_server_settings: plugin_load_add = 'semisync_source.so' leaves out what webstack_semi_sync needs: "
         "add ;semisync_replica.so to it."],
    ),
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
    "GTIDs are off": (
        {"db1": server({"gtid_mode": "OFF"})},
        ["db1: gtid_mode is OFF on the server with data that runs there, and replication goes by GTID: "
         "-e '{\"mysql_server_enable_gtid\": [\"db1\"]}' switches it to ON while it runs, step by step. "
         "Replicas that are not in this inventory have to take each step with it."],
    ),
    "GTIDs are off, another host is named": (
        {"db1": {**server({"gtid_mode": "OFF_PERMISSIVE"}), "mysql_server_enable_gtid": ["db10"]}},
        ["mysql_server_enable_gtid = 'db10' names no host of group mysql: name one of db1, db2.",
         "db1: gtid_mode is OFF_PERMISSIVE on the server with data that runs there, and replication goes by GTID: "
         "-e '{\"mysql_server_enable_gtid\": [\"db1\"]}' switches it to ON while it runs, step by step. "
         "Replicas that are not in this inventory have to take each step with it."],
    ),
    "a name in a string": (
        {"db1": {"mysql_server_enable_gtid": "db12"}},
        ["db1: mysql_server_enable_gtid = 'db12' is not a list of hosts: "
         "write it as -e '{\"mysql_server_enable_gtid\": [\"db1\"]}'."],
    ),
    "root has a password": (
        {"db1": server(server={"refused": "Access denied for user 'root'@'localhost' (1045)"})},
        ["db1: the database server that runs there refuses its administrator: Access denied for user "
         "'root'@'localhost' (1045). Give the password as webstack_mysql_login_password, best from a vault, and the "
         "account, where it is not root, as webstack_mysql_login_user."],
    ),
    "two passwords of root": (
        {"db1": {"webstack_mysql_login_password": "one"}},
        ["webstack_mysql_login_password differs between db1, db2, and a replica gets the accounts of its primary: "
         "set it once, for the group mysql."],
    ),
    "data in another place": (
        {"db1": {"mysql_server_settings": {"datadir": "/srv/mysql"},
                 **server(schemas=[], elsewhere={"/var/lib/mysql": ["blog", "shop"]})}},
        ["db1: mysql_server_settings: datadir = '/srv/mysql', but the data (blog, shop) are in /var/lib/mysql, and no "
         "setting moves them: stop the server and move them yourself, or correct the setting."],
    ),
    "data at home": (
        {"db1": {"mysql_server_settings": {"datadir": "/home/mysql"}}},
        ["db1: mysql_server_settings: datadir = '/home/mysql' is where the server's unit or profile does not let it "
         "write: choose another place, for example /srv/mysql."],
    ),
    "data nowhere": (
        {"db1": {"mysql_server_settings": {"datadir": "data"}}},
        ["db1: mysql_server_settings: datadir = 'data' is not a usable path: name it from / on."],
    ),
    "letter case of a server with data": (
        dict.fromkeys(("db1", "db2"), {"mysql_server_settings": {"lower_case_table_names": 1}, **server()}),
        [f"{host}: mysql_server_settings: lower_case_table_names = 1, but the server with data (shop) has 0, and that "
         "is fixed when a server is made: remove the setting, or load a dump into a new server."
         for host in ("db1", "db2")],
    ),
    "page size of a server with data": (
        {"db1": {"mysql_server_settings": {"innodb-page-size": "8k"}, **server({"innodb_page_size": "16384"})}},
        ["db1: mysql_server_settings: innodb_page_size = 8k, but the server with data (shop) has 16384, and that is "
         "fixed when a server is made: remove the setting, or load a dump into a new server."],
    ),
    "letter case of a primary that was there before": (
        {"db1": server({"lower_case_table_names": "1"})},
        ["mysql_server_settings: lower_case_table_names would be 1 on db1, 0 on db2, and replicas have that of their "
         "primary: set it for the group mysql."],
    ),
    "a time zone before they are loaded": (
        {"db1": {"mysql_server_settings": {"time_zone": "Europe/Zurich"}}},
        ["db1: mysql_server_settings: time_zone = 'Europe/Zurich' is not known to a server whose time zones are not "
         "loaded yet, and it would not start: use an offset as '+01:00' for the first run."],
    ),
    "tables that a copy leaves empty": (
        {"db1": server(server={"not_cloned": ["shop.log (MyISAM)"] * 12})},
        [f"db1: has tables that are not in InnoDB ({', '.join(['shop.log (MyISAM)'] * 10)} and 2 more), which a copy "
         "would leave empty on db2: convert each with ALTER TABLE ... ENGINE=InnoDB, or load a dump into the replica "
         "yourself."],
    ),
    "tables that a rebuild leaves empty": (
        {"db1": server(server={"not_cloned": ["shop.log (MyISAM)"]}),
         "db2": {**server(), "mysql_replica_rebuild": ["db2"]}},
        ["db1: has tables that are not in InnoDB (shop.log (MyISAM)), which a copy would leave empty on db2: "
         "convert each with ALTER TABLE ... ENGINE=InnoDB, or load a dump into the replica yourself."],
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


def test_nobody_acknowledges_what_an_only_server_writes():
    assert told({"db1": {"webstack_semi_sync": True}}, mysql=["db1"], mysql_primary=["db1"], mysql_replica=[]) == [
        "db1: webstack_semi_sync_replicas = 1, and the group mysql has 0 host(s) besides it: add a replica, or set "
        "webstack_semi_sync to false."
    ]


def test_no_password_is_told():
    changes = {"db1": {**server(MEDIUM), **dict.fromkeys(GOOD, "Geheimnis")}}
    assert "geheimnis" not in " ".join(told(changes)).lower()
