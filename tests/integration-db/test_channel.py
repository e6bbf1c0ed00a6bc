"""mysql_replication_channel against real servers."""

from __future__ import annotations

import time

import lab
import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import Connection, ConnectionOptions
from ansible_collections.pentad.webstack.plugins.module_utils.replication.channel import ChannelError, Manager
from ansible_collections.pentad.webstack.plugins.modules import mysql_replication_channel as module
from conftest import both, local, module_params


def bring(server, check_mode=False, **options):
    params = module_params(module, **local(server), **options)
    with Connection(ConnectionOptions.from_params(params)) as connection:
        manager = Manager(connection, params["channel"], check_mode)
        result = module.bring(manager, params)
        return {**result, "statements": manager.statements, "notes": manager.notes}


def wanted(pair, **more):
    options = {
        "source_host": pair.primary.ip,
        "source_user": lab.REPL_USER,
        "source_password": lab.REPL_PASSWORD,
        "source_ssl_ca": "/tls/ca.pem",
    }
    return {**options, **more}


def thread_ids(pair):
    rows = pair.replica.sql("SHOW PROCESSLIST")
    return sorted(r["Id"] for r in rows if r["User"] == "system user")


def test_running_correct_channel_is_not_touched(pair):
    before = thread_ids(pair)
    result = bring(pair.replica, **wanted(pair))
    assert (result["changed"], result["statements"]) == (False, [])
    assert thread_ids(pair) == before


def test_new_channel_from_nothing(pair):
    bring(pair.replica, state="absent")
    assert not pair.replica.sql("SHOW SLAVE STATUS" if pair.mariadb else "SHOW REPLICA STATUS")
    planned = bring(pair.replica, check_mode=True, **wanted(pair))
    assert planned["changed"] is True
    assert not pair.replica.sql("SHOW SLAVE STATUS" if pair.mariadb else "SHOW REPLICA STATUS"), "check mode"
    done = bring(pair.replica, **wanted(pair))
    assert done["changed"] is True
    assert lab.REPL_PASSWORD not in str(done)
    assert any("********" in s for s in done["statements"])
    pair.settle()
    assert both(pair, wait_for="healthy", wait_timeout=20)["verdict"] == "ok"
    assert bring(pair.replica, **wanted(pair))["changed"] is False


@pytest.mark.parametrize(
    "change",
    [
        {"connect_retry": 7},
        {"heartbeat_period": 1.5},
        {"delay": 2},
        {"source_ssl_verify": False},
        {"retry_count": 5},
        {"get_source_public_key": True},
    ],
    ids=lambda c: next(iter(c)),
)
def test_one_setting_changes_once_and_threads_run_again(pair, change):
    mysql_only = {"retry_count", "get_source_public_key"} & set(change)
    first = bring(pair.replica, **wanted(pair, **change))
    if pair.mariadb and mysql_only:
        assert first["changed"] is False
        return
    assert first["changed"] is True
    name, value = next(iter(change.items()))
    assert first["diff"]["after"][name] == value
    assert first["diff"]["before"][name] != value
    assert bring(pair.replica, **wanted(pair, **change))["changed"] is False
    pair.primary.sql("INSERT INTO app.t VALUES (700, 'after')")
    pair.settle()


def test_another_source(pair):
    third = pair.more()
    third.follow(pair.primary)
    assert both(pair, login_unix_socket=third.socket, wait_for="caught_up", fail_on="never")["wait"]["reached"]
    result = bring(pair.replica, **wanted(pair, source_host=third.ip))
    assert result["changed"] is True
    assert bring(pair.replica, **wanted(pair, source_host=third.ip))["changed"] is False
    pair.primary.sql("INSERT INTO app.t VALUES (701, 'over the third')")
    deadline = time.monotonic() + 15
    while not pair.replica.sql("SELECT 1 FROM app.t WHERE id = 701"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_rotated_password(pair):
    """The stored password can be compared on the host itself, so a rotation is applied and only once."""
    pair.primary.sql("SET SESSION sql_log_bin=0", "SET PASSWORD FOR repl@'%' = " + (
        "PASSWORD('New-pass-2')" if pair.mariadb else "'New-pass-2'"))  # fmt: skip
    options = wanted(pair, source_password="New-pass-2")
    assert bring(pair.replica, check_mode=True, **options)["changed"] is True
    first = bring(pair.replica, **options)
    assert first["changed"] is True
    assert "New-pass-2" not in str(first)
    assert bring(pair.replica, **options)["changed"] is False
    assert both(pair, wait_for="healthy", wait_timeout=20)["verdict"] == "ok"


def test_stopped_and_started(pair):
    assert bring(pair.replica, state="stopped", check_mode=True)["changed"] is True
    assert bring(pair.replica, state="stopped")["changed"] is True
    assert bring(pair.replica, state="stopped")["changed"] is False
    again = bring(pair.replica, **wanted(pair))
    assert again["changed"] is True
    assert bring(pair.replica)["changed"] is False
    pair.settle()


def test_configured_does_not_start(pair):
    pair.stop_replica()
    assert bring(pair.replica, state="configured", **wanted(pair, connect_retry=9))["changed"] is True
    status = pair.replica.sql("SHOW SLAVE STATUS" if pair.mariadb else "SHOW REPLICA STATUS")[0]
    assert "No" in (status.get("Replica_IO_Running"), status.get("Slave_IO_Running"))


def test_applier_stopped_on_an_error_is_left_alone(pair):
    pair.local_write("INSERT INTO app.t VALUES (50, 'mine')", binlog=False)
    pair.primary.sql("INSERT INTO app.t VALUES (50, 'theirs')")
    column = "Slave_SQL_Running" if pair.mariadb else "Replica_SQL_Running"
    deadline = time.monotonic() + 10
    while pair.replica.sql("SHOW SLAVE STATUS" if pair.mariadb else "SHOW REPLICA STATUS")[0][column] != "No":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    result = bring(pair.replica, **wanted(pair))
    assert (result["changed"], result["statements"]) == (False, [])


def test_absent_refuses_to_lose_received_transactions(pair):
    pair.stop_replica("SQL_THREAD")
    pair.primary.sql("INSERT INTO app.t VALUES (720, 'in the relay log')")
    time.sleep(0.5)
    with pytest.raises(ChannelError, match="not applied yet"):
        bring(pair.replica, state="absent")
    assert pair.replica.sql("SHOW SLAVE STATUS" if pair.mariadb else "SHOW REPLICA STATUS")
    assert bring(pair.replica, state="absent", force=True)["changed"] is True
    assert bring(pair.replica, state="absent")["changed"] is False


def test_filters_exactly_as_given(pair):
    filters = {"ignore_db": ["junk", "od`d"], "wild_ignore_table": ["tmp%.%"]}
    if pair.mariadb:
        filters["ignore_db"] = ["junk", "other"]
    first = bring(pair.replica, filters=filters)
    assert first["changed"] is True
    assert bring(pair.replica, filters=filters)["changed"] is False
    assert bring(pair.replica, **wanted(pair))["changed"] is False, "filters not given are left alone"
    assert bring(pair.replica, filters={})["changed"] is True
    assert bring(pair.replica, filters={})["changed"] is False
    pair.settle()


def test_named_channel(pair):
    bring(pair.replica, state="absent")
    assert bring(pair.replica, channel="blue", **wanted(pair))["changed"] is True
    assert bring(pair.replica, channel="blue", **wanted(pair))["changed"] is False
    pair.primary.sql("INSERT INTO app.t VALUES (730, 'blue')")
    deadline = time.monotonic() + 10
    while not pair.replica.sql("SELECT 1 FROM app.t WHERE id = 730"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert bring(pair.replica, channel="blue", state="absent")["changed"] is True


def test_former_primary_joins_the_new_one(pair):
    """Roles change places, as after a switchover."""
    pair.settle()
    bring(pair.replica, state="absent")
    pair.replica.sql("SET GLOBAL read_only=OFF" if pair.mariadb else "SET GLOBAL super_read_only=OFF",
                     "SET GLOBAL read_only=OFF", "INSERT INTO app.t VALUES (740, 'new primary')")  # fmt: skip
    options = {**wanted(pair), "source_host": pair.replica.ip, "demote": True}
    assert bring(pair.primary, **options)["changed"] is True
    deadline = time.monotonic() + 10
    while not pair.primary.sql("SELECT 1 FROM app.t WHERE id = 740"):
        assert time.monotonic() < deadline, pair.primary.sql(
            "SHOW SLAVE STATUS" if pair.mariadb else "SHOW REPLICA STATUS"
        )
        time.sleep(0.1)
    assert bring(pair.primary, **options)["changed"] is False
    if pair.mariadb:
        pair.replica.sql("SET GLOBAL read_only=ON")


def test_wrong_option_leaves_the_channel_running(pair):
    with pytest.raises(ChannelError):
        bring(pair.replica, **wanted(pair, heartbeat_period=99999999))
    pair.primary.sql("INSERT INTO app.t VALUES (750, 'still there')")
    pair.settle()
