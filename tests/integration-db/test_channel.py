"""mysql_replication_channel against real servers."""

from __future__ import annotations

import lab
import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.replication.channel import ChannelError
from conftest import both, channel_options, configure_channel
from waiting import wait


def thread_ids(pair):
    rows = pair.replica.sql("SHOW PROCESSLIST")
    return sorted(r["Id"] for r in rows if r["User"] == "system user")


def test_running_correct_channel_is_not_touched(pair):
    before = thread_ids(pair)
    result = configure_channel(pair.replica, **channel_options(pair))
    assert (result["changed"], result["statements"]) == (False, [])
    assert thread_ids(pair) == before


def test_new_channel_from_nothing(pair):
    configure_channel(pair.replica, state="absent")
    assert not pair.replica.channel()
    planned = configure_channel(pair.replica, check_mode=True, **channel_options(pair))
    assert planned["changed"] is True
    assert not pair.replica.channel(), "check mode"
    done = configure_channel(pair.replica, **channel_options(pair))
    assert done["changed"] is True
    assert lab.REPL_PASSWORD not in str(done)
    assert any("********" in s for s in done["statements"])
    pair.settle()
    assert both(pair, wait_for="healthy", wait_timeout=20)["verdict"] == "ok"
    assert configure_channel(pair.replica, **channel_options(pair))["changed"] is False


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
    first = configure_channel(pair.replica, **channel_options(pair, **change))
    if pair.mariadb and mysql_only:
        assert first["changed"] is False
        return
    assert first["changed"] is True
    name, value = next(iter(change.items()))
    assert first["diff"]["after"][name] == value
    assert first["diff"]["before"][name] != value
    assert configure_channel(pair.replica, **channel_options(pair, **change))["changed"] is False
    pair.primary.sql("INSERT INTO app.t VALUES (700, 'after')")
    pair.settle()


def test_another_source(pair):
    third = pair.more()
    third.follow(pair.primary)
    assert both(pair, login_unix_socket=third.socket, wait_for="caught_up", fail_on="never")["wait"]["reached"]
    result = configure_channel(pair.replica, **channel_options(pair, source_host=third.ip))
    assert result["changed"] is True
    assert configure_channel(pair.replica, **channel_options(pair, source_host=third.ip))["changed"] is False
    pair.primary.sql("INSERT INTO app.t VALUES (701, 'over the third')")
    wait("the row", lambda: pair.replica.has(701))


def test_rotated_password(pair):
    """The stored password can be compared on the host itself, so a rotation is applied and only once."""
    pair.primary.sql("SET SESSION sql_log_bin=0", "SET PASSWORD FOR repl@'%' = " + (
        "PASSWORD('New-pass-2')" if pair.mariadb else "'New-pass-2'"))  # fmt: skip
    options = channel_options(pair, source_password="New-pass-2")
    assert configure_channel(pair.replica, check_mode=True, **options)["changed"] is True
    first = configure_channel(pair.replica, **options)
    assert first["changed"] is True
    assert "New-pass-2" not in str(first)
    assert configure_channel(pair.replica, **options)["changed"] is False
    assert both(pair, wait_for="healthy", wait_timeout=20)["verdict"] == "ok"


def test_stopped_and_started(pair):
    assert configure_channel(pair.replica, state="stopped", check_mode=True)["changed"] is True
    assert configure_channel(pair.replica, state="stopped")["changed"] is True
    assert configure_channel(pair.replica, state="stopped")["changed"] is False
    again = configure_channel(pair.replica, **channel_options(pair))
    assert again["changed"] is True
    assert configure_channel(pair.replica)["changed"] is False
    pair.settle()


def test_configured_does_not_start(pair):
    pair.stop_replica()
    assert (
        configure_channel(pair.replica, state="configured", **channel_options(pair, connect_retry=9))["changed"] is True
    )
    assert pair.replica.channel()["Replica_IO_Running"] == "No"


def test_applier_stopped_on_an_error_is_left_alone(pair):
    pair.local_write("INSERT INTO app.t VALUES (50, 'mine')", binlog=False)
    pair.primary.sql("INSERT INTO app.t VALUES (50, 'theirs')")
    pair.wait_for_stopped_applier()
    result = configure_channel(pair.replica, **channel_options(pair))
    assert (result["changed"], result["statements"]) == (False, [])


def received_is_not_applied(pair):
    seen = pair.replica.channel()
    if pair.mariadb:
        return seen["Gtid_IO_Pos"] == pair.primary.value("SELECT @@gtid_binlog_pos")
    return not pair.replica.value(f"SELECT GTID_SUBSET('{seen['Retrieved_Gtid_Set']}', @@GLOBAL.gtid_executed)")


def test_absent_refuses_to_lose_received_transactions(pair):
    pair.stop_replica("SQL_THREAD")
    pair.primary.sql("INSERT INTO app.t VALUES (720, 'in the relay log')")
    wait("the transaction", lambda: received_is_not_applied(pair))
    with pytest.raises(ChannelError, match="not applied yet"):
        configure_channel(pair.replica, state="absent")
    assert pair.replica.channel()
    assert configure_channel(pair.replica, state="absent", force=True)["changed"] is True
    assert configure_channel(pair.replica, state="absent")["changed"] is False


def test_filters_exactly_as_given(pair):
    filters = {"ignore_db": ["junk", "od`d"], "wild_ignore_table": ["tmp%.%"]}
    if pair.mariadb:
        filters["ignore_db"] = ["junk", "other"]
    first = configure_channel(pair.replica, filters=filters)
    assert first["changed"] is True
    assert configure_channel(pair.replica, filters=filters)["changed"] is False
    assert configure_channel(pair.replica, **channel_options(pair))["changed"] is False, (
        "filters not given are left alone"
    )
    assert configure_channel(pair.replica, filters={})["changed"] is True
    assert configure_channel(pair.replica, filters={})["changed"] is False
    pair.settle()


def test_named_channel(pair):
    configure_channel(pair.replica, state="absent")
    assert configure_channel(pair.replica, channel="blue", **channel_options(pair))["changed"] is True
    assert configure_channel(pair.replica, channel="blue", **channel_options(pair))["changed"] is False
    pair.primary.sql("INSERT INTO app.t VALUES (730, 'blue')")
    wait("the row", lambda: pair.replica.has(730))
    assert configure_channel(pair.replica, channel="blue", state="absent")["changed"] is True


def test_former_primary_joins_the_new_one(pair):
    """Roles change places, as after a switchover."""
    pair.settle()
    configure_channel(pair.replica, state="absent")
    pair.replica.sql("SET GLOBAL read_only=OFF" if pair.mariadb else "SET GLOBAL super_read_only=OFF",
                     "SET GLOBAL read_only=OFF", "INSERT INTO app.t VALUES (740, 'new primary')")  # fmt: skip
    options = {**channel_options(pair), "source_host": pair.replica.ip, "demote": True}
    assert configure_channel(pair.primary, **options)["changed"] is True
    wait("the row", lambda: pair.primary.has(740))
    assert configure_channel(pair.primary, **options)["changed"] is False
    if pair.mariadb:
        pair.replica.sql("SET GLOBAL read_only=ON")


def test_wrong_option_leaves_the_channel_running(pair):
    with pytest.raises(ChannelError):
        configure_channel(pair.replica, **channel_options(pair, heartbeat_period=99999999))
    pair.primary.sql("INSERT INTO app.t VALUES (750, 'still there')")
    pair.settle()
