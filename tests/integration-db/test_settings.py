"""Settings as users write them: set once, and as the server understands them from then on."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.modules import mysql_settings
from conftest import local

# The first of each is what was seen to be set again by every run, or to be refused.
SPELLINGS = {
    "long_query_time": [0.5, "2", "0.500", 1],
    "max-connections": ["70", 71],
    "sql_mode": ["STRICT_TRANS_TABLES,NO_ZERO_DATE,ANSI_QUOTES", "ansi_quotes,strict_trans_tables", "TRADITIONAL", ""],
    "character_set_server": ["utf8", "utf8mb4", "LATIN1"],
    "optimizer_switch": ["mrr=off", "index_merge=off,mrr=on"],
    "max_allowed_packet": ["32M", 50000001],
    "innodb_buffer_pool_size": ["70M", 90000000],
    "binlog_cache_size": [40000, "64k"],
    "tmp_table_size": ["24M", 1000001],
    "time_zone": ["+01:00", "SYSTEM"],
    "log_output": ["table,file", "NONE"],
    "concurrent_insert": [2, "NEVER", "1"],
    "delay_key_write": ["all", True],
    "slow_query_log": [True, "off", 1],
    "innodb_max_dirty_pages_pct": [80.5, "75"],
    "transaction_isolation": ["read-committed"],
    "event_scheduler": [True, "OFF", 1],
    "wait_timeout": [99999999, 600],
}
CASES = [(name, value) for name, values in SPELLINGS.items() for value in values]


@pytest.fixture
def settings(running, run):
    """The module on a server whose variables are put back."""
    server = running.third or running.primary
    names = {name.replace("-", "_") for name in SPELLINGS}
    before = {row["Variable_name"]: row["Value"] for row in server.sql("SHOW GLOBAL VARIABLES")}

    def call(wanted, check_mode=False):
        return run(mysql_settings, check_mode=check_mode, settings=wanted, **local(server))

    yield call
    after = {row["Variable_name"]: row["Value"] for row in server.sql("SHOW GLOBAL VARIABLES")}
    with server.connect() as connection, connection.cursor() as cursor:
        # The others are not set to what they are: a buffer pool would begin a resize beside that of the next test.
        for name in sorted(name for name in names & set(before) if after[name] != before[name]):
            value = before[name]
            plain = value if value.replace(".", "").isdigit() else repr(value)
            cursor.execute(f"SET GLOBAL {name} = {plain}")


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_setting_is_set_once(settings, name, value):
    first = settings({name: value})
    assert not first.get("failed"), first
    assert first["restart_required"] == []
    again = settings({name: value})
    assert (again["changed"], again["live"]) == (False, []), f"{first['diff']} {again['diff']}"


def test_all_at_once_and_check_mode_agrees(settings):
    wanted = {name: values[0] for name, values in SPELLINGS.items()}
    # Written in this order, the character set would take the collation back.
    wanted = {"collation_server": "utf8mb3_bin", **wanted}
    planned = settings(wanted, check_mode=True)
    done = settings(wanted)
    assert done["changed"]
    assert set(done["live"]) <= set(planned["live"])
    assert settings(wanted)["changed"] is False
    assert settings({**wanted, "concurrent_insert": "always"}, check_mode=True)["live"] == []


def test_a_value_that_the_server_refuses_is_named(settings):
    assert "sql_mode = STRICKT was refused" in settings({"sql_mode": "STRICKT"})["msg"]


def test_a_variable_that_only_a_restart_changes_is_told(settings, tmp_path):
    assert settings({"skip-name-resolve": False})["restart_required"] == ["skip_name_resolve"]
    assert settings({"skip-name-resolve": True, "port": "3306", "log_bin": "binlog"})["restart_required"] == []
