"""The modules as Ansible runs them: arguments in, JSON out, failures in words."""

from __future__ import annotations

import json

import lab
from ansible_collections.pentad.webstack.plugins.modules import (
    mysql_accounts,
    mysql_replication_channel,
    mysql_replication_verify,
)
from conftest import channel_options, local, remote


def test_verify(pair, run):
    options = {**local(pair.replica), **remote(pair.primary)}
    result = run(mysql_replication_verify, role="replica", return_raw=True, **options)
    assert (result["verdict"], result["changed"]) == ("ok", False)
    assert result["raw"]["local"]["replica_status"]
    assert lab.MONITOR_PASSWORD not in json.dumps({k: v for k, v in result.items() if k != "invocation"})


def test_verify_fails_with_everything(pair, run):
    pair.stop_replica("SQL_THREAD")
    options = {"role": "replica", **local(pair.replica)}
    result = run(mysql_replication_verify, **options)
    assert result["failed"]
    assert result["msg"] == result["summary"]
    assert "[sql_thread]" in result["msg"]
    assert result["checks"] and result["channels"]
    assert not run(mysql_replication_verify, fail_on="never", **options).get("failed")
    waited = run(mysql_replication_verify, wait_for="healthy", wait_timeout=20, **options)
    assert waited["msg"].startswith("Gave up waiting after")
    assert waited["wait"]["reached"] is False


def test_verify_fail_on_warning(pair, run):
    pair.primary.sql("CREATE TABLE app.nokey (a INT)")
    pair.settle()
    options = {"role": "replica", **local(pair.replica)}
    assert not run(mysql_replication_verify, **options).get("failed")
    assert run(mysql_replication_verify, fail_on="warning", **options)["failed"]


def test_verify_check_mode_writes_nothing(pair, run):
    options = {"role": "replica", "probe": True, "heartbeat_table": "app.heartbeat",
               **local(pair.replica), **remote(pair.primary)}  # fmt: skip
    result = run(mysql_replication_verify, check_mode=True, **options)
    assert "probe" not in result
    assert pair.primary.value("SELECT COUNT(*) FROM app.heartbeat") == 0
    denied = run(mysql_replication_verify, **options)
    assert denied["failed"]
    assert "GRANT SELECT, INSERT, UPDATE ON app.heartbeat" in denied["msg"]


def test_verify_bad_options(run):
    result = run(mysql_replication_verify, checks={"nonsense": "skip"}, max_lag=-1)
    assert "there is no rule nonsense" in result["msg"]
    assert "max_lag must not be negative" in result["msg"]


def test_verify_set(pair, run):
    listed = [{"name": "db1", "host": pair.primary.ip}, {"host": pair.replica.ip, "user": lab.MONITOR_USER}]
    login = {"login_user": lab.MONITOR_USER, "login_password": lab.MONITOR_PASSWORD}
    result = run(mysql_replication_verify, servers=listed, **login)
    assert result["topology"]["primary"] == "db1"
    assert set(result["servers"]) == {"db1", f"{pair.replica.ip}:3306"}


def test_channel(pair, run):
    options = {**channel_options(pair), **local(pair.replica)}
    assert run(mysql_replication_channel, **options)["changed"] is False
    planned = run(mysql_replication_channel, check_mode=True, **{**options, "connect_retry": 11})
    assert planned["changed"] is True
    assert planned["diff"]["after"]["connect_retry"] == 11
    assert run(mysql_replication_channel, **options)["changed"] is False


def test_channel_reports_the_error_of_a_stopped_applier(pair, run):
    pair.local_write("INSERT INTO app.t VALUES (50, 'mine')", binlog=False)
    pair.primary.sql("INSERT INTO app.t VALUES (50, 'theirs')")
    pair.wait_for_stopped_applier()
    result = run(mysql_replication_channel, **local(pair.replica))
    assert result["changed"] is False
    assert result["applier_error"]["errno"] == 1062
    assert "was not started again" in json.dumps(result["warnings"])


def test_channel_bad_input(pair, run):
    assert "must not be negative" in run(mysql_replication_channel, delay=-1)["msg"]
    pair.stop_replica()
    pair.replica.sql("RESET SLAVE ALL" if pair.mariadb else "RESET REPLICA ALL")
    assert "no such channel" in run(mysql_replication_channel, **local(pair.replica))["msg"]
    login = {"login_host": pair.replica.ip, "login_user": lab.MONITOR_USER, "login_password": lab.MONITOR_PASSWORD}
    refused = run(mysql_replication_channel, source_host="192.0.2.1", source_user="x", **login)
    assert "GRANT REPLICATION" in refused["msg"]


def test_accounts(pair, run):
    options = {"accounts": [{"name": "x", "password": "Some-pass-1"}], **local(pair.primary)}
    assert run(mysql_accounts, check_mode=True, **options)["changed"] is True
    assert run(mysql_accounts, **options)["accounts"] == {"x@localhost": ["created", "password"]}
    assert run(mysql_accounts, **options)["changed"] is False
    missing = run(mysql_accounts, **{**options, "accounts": [{"name": "y"}]})
    assert "A password is needed to create y@localhost" in missing["msg"]
    assert "listed twice" in run(mysql_accounts, **{**options, "accounts": [{"name": "y"}, {"name": "y"}]})["msg"]
    refused = run(mysql_accounts, **{**options, **local(pair.replica), "accounts": [{"name": "z", "password": "Z-1"}]})
    assert "is read-only" in refused["msg"]


def test_accounts_on_a_server_that_quotes_otherwise(pair, run):
    listed = [{"name": "x", "password": "Some-pass-1", "privileges": {"app.*": ["SELECT"]}}]
    try:
        pair.primary.sql("SET GLOBAL sql_mode = 'ANSI'")
        assert run(mysql_accounts, accounts=listed, **local(pair.primary))["changed"] is True
        assert run(mysql_accounts, accounts=listed, **local(pair.primary))["changed"] is False
    finally:
        pair.primary.sql("SET GLOBAL sql_mode = DEFAULT")
