"""mysql_accounts against real servers."""

from __future__ import annotations

import lab
import pymysql
import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import (
    Connection,
    ConnectionOptions,
    DatabaseError,
)
from ansible_collections.pentad.webstack.plugins.modules import mysql_accounts as module
from conftest import configure_accounts, module_params

APP = {"name": "app", "host": "172.31.%", "password": "pässw%rd-'1", "require_tls": True, "max_user_connections": 9,
       "privileges": {"shop.*": ["SELECT", "INSERT"]}}  # fmt: skip


def test_created_once(pair):
    wanted = {"databases": [{"name": "shop", "encoding": "utf8mb4"}, {"name": "o`dd%"}], "accounts": [APP]}
    planned = configure_accounts(pair.primary, run=False, **wanted)
    assert planned["changed"] is True
    assert not pair.primary.sql("SELECT 1 FROM mysql.user WHERE User = 'app'")
    first = configure_accounts(pair.primary, **wanted)
    assert first["databases"] == {"shop": ["created"], "o`dd%": ["created"]}
    assert "created" in first["accounts"]["app@172.31.%"]
    assert APP["password"] not in str(first)
    second = configure_accounts(pair.primary, **wanted)
    assert second["changed"] is False
    assert second["accounts"] == {"app@172.31.%": []}


def test_login_works_over_tls_only(pair):
    pair.primary.sql("CREATE DATABASE shop")
    configure_accounts(pair.primary, accounts=[APP])
    login = {"host": pair.primary.ip, "user": "app", "password": APP["password"].encode()}
    with pymysql.connect(**login, ssl_ca=str(lab.ROOT / "tls/ca.pem"), ssl_verify_cert=True) as connection:
        connection.cursor().execute("SELECT 1 FROM information_schema.TABLES LIMIT 1")
    with pytest.raises(pymysql.err.MySQLError):
        pymysql.connect(**login, ssl_disabled=True, connect_timeout=5)


def test_grants_become_exactly_those_given(pair):
    pair.primary.sql("CREATE DATABASE shop", "CREATE TABLE shop.t (a INT PRIMARY KEY, b INT)")
    configure_accounts(
        pair.primary, accounts=[{**APP, "privileges": {"*.*": ["PROCESS"], "shop.*": ["ALL", "GRANT OPTION"]}}]
    )
    result = configure_accounts(
        pair.primary, accounts=[{**APP, "privileges": {"shop.t": ["SELECT (a)", "UPDATE (a, b)"]}}]
    )
    told = result["accounts"]["app@172.31.%"]
    assert [t.split()[0] for t in told] == ["revoked", "revoked", "revoked", "granted"]
    shown = [next(iter(r.values())) for r in pair.primary.sql("SHOW GRANTS FOR 'app'@'172.31.%'")]
    assert any("SELECT (`a`), UPDATE (`a`, `b`) ON `shop`.`t`" in line for line in shown)
    assert not any("PROCESS" in line or "`shop`.*" in line for line in shown)
    assert configure_accounts(pair.primary, accounts=[{**APP, "privileges": None}])["changed"] is False


def test_password_changes_only_when_it_is_another(pair):
    configure_accounts(pair.primary, accounts=[{"name": "x", "password": "one-1"}])
    before = pair.primary.value("SELECT authentication_string FROM mysql.user WHERE User = 'x'")
    configure_accounts(pair.primary, accounts=[{"name": "x", "password": "one-1"}])
    assert pair.primary.value("SELECT authentication_string FROM mysql.user WHERE User = 'x'") == before
    assert configure_accounts(pair.primary, accounts=[{"name": "x", "password": "two-2"}])["accounts"] == {
        "x@localhost": ["password"]
    }
    assert configure_accounts(pair.primary, accounts=[{"name": "x"}])["changed"] is False


@pytest.mark.parametrize("password", ["a", "ä" * 30, "x" * 200, "quote'\"\\%s", "  spaces  "])
def test_digests_of_all_kinds_of_passwords(pair, password):
    configure_accounts(pair.primary, accounts=[{"name": "x", "password": password}])
    assert configure_accounts(pair.primary, accounts=[{"name": "x", "password": password}])["changed"] is False
    assert (
        configure_accounts(pair.primary, run=False, accounts=[{"name": "x", "password": password + "x"}])["changed"]
        is True
    )


def test_socket_login(pair):
    wanted = [{"name": "root"}, {"name": "health", "auth": "socket", "privileges": {"*.*": ["REPLICATION CLIENT"]}}]
    assert "created" in configure_accounts(pair.primary, accounts=wanted)["accounts"]["health@localhost"]
    assert configure_accounts(pair.primary, accounts=wanted)["changed"] is False
    if pair.mariadb:
        assert configure_accounts(pair.primary, accounts=[{"name": "root", "auth": "socket"}])["changed"] is False
    with pytest.raises(pymysql.err.MySQLError):
        pymysql.connect(unix_socket=pair.primary.socket, user="health", password="")
    if not pair.mariadb:
        # The statement replicates, so the replica needs the plugin as well.
        configure_accounts(pair.replica, binlog=False, accounts=[{"name": "other", "auth": "socket"}])


def test_options_change_and_stay(pair):
    base = {"name": "x", "password": "one-1"}
    configure_accounts(pair.primary, accounts=[base])
    change = {**base, "require_tls": True, "locked": True, "max_user_connections": 3, "comment": "by hand"}
    told = configure_accounts(pair.primary, accounts=[change])["accounts"]["x@localhost"]
    assert told[:3] == ["TLS required", "at most 3 connections", "locked"]
    assert configure_accounts(pair.primary, accounts=[change])["changed"] is False
    assert configure_accounts(pair.primary, accounts=[base])["changed"] is False, "what is not given is left alone"
    back = {**base, "require_tls": False, "locked": False, "max_user_connections": 0}
    assert configure_accounts(pair.primary, accounts=[back])["changed"] is True
    assert configure_accounts(pair.primary, accounts=[back])["changed"] is False


def test_all_privileges(pair):
    wanted = [{"name": "x", "password": "one-1", "privileges": {"*.*": ["ALL", "GRANT OPTION"]}}]
    configure_accounts(pair.primary, accounts=wanted)
    assert configure_accounts(pair.primary, accounts=wanted)["changed"] is False
    less = [{"name": "x", "privileges": {"*.*": ["ALL"]}}]
    assert configure_accounts(pair.primary, accounts=less)["accounts"]["x@localhost"] == ["revoked GRANT OPTION ON *.*"]
    assert configure_accounts(pair.primary, accounts=less)["changed"] is False


def test_absent_and_anonymous(pair):
    pair.primary.sql("SET SESSION sql_log_bin=0", "CREATE USER ''@'localhost'", "CREATE USER other@localhost")
    configure_accounts(pair.primary, accounts=[{"name": "x", "password": "one-1"}])
    wanted = {"accounts": [{"name": "x", "state": "absent"}], "remove_anonymous": True, "binlog": False}
    assert configure_accounts(pair.primary, **wanted)["accounts"] == {
        "@localhost": ["removed"],
        "x@localhost": ["removed"],
    }
    assert configure_accounts(pair.primary, **wanted)["changed"] is False
    assert pair.primary.sql("SELECT 1 FROM mysql.user WHERE User = 'other'"), "accounts not listed are left alone"


def test_encoding_of_a_database(pair):
    wanted = {"databases": [{"name": "shop", "encoding": "utf8mb4", "collation": "utf8mb4_bin"}]}
    pair.primary.sql("CREATE DATABASE shop CHARACTER SET latin1")
    assert configure_accounts(pair.primary, **wanted)["changed"] is True
    assert configure_accounts(pair.primary, **wanted)["changed"] is False


def test_read_only_server_is_refused_in_words(pair):
    with pytest.raises(DatabaseError, match="is read-only, so it is a replica or fenced.*account app@"):
        configure_accounts(pair.replica, accounts=[{**APP, "privileges": None}])
    configure_accounts(pair.primary, accounts=[{**APP, "privileges": None}])
    pair.settle()
    assert configure_accounts(pair.replica, accounts=[{**APP, "privileges": None}])["changed"] is False, (
        "nothing to do is fine"
    )


def test_account_of_the_replica_alone(pair):
    name = "gtid_binlog_pos" if pair.mariadb else "gtid_executed"
    before = pair.replica.value(f"SELECT @@GLOBAL.{name}")
    configure_accounts(pair.replica, binlog=False, accounts=[{"name": "here", "password": "one-1"}])
    assert pair.replica.value(f"SELECT @@GLOBAL.{name}") == before
    fenced = "read_only" if pair.mariadb else "super_read_only"
    assert str(pair.replica.value(f"SELECT @@GLOBAL.{fenced}")) in {"1", "ON"}


def test_error_names_the_account_and_hides_the_password(pair):
    with pytest.raises(DatabaseError, match="GRANT SELECT for account app@") as caught:
        configure_accounts(pair.primary, accounts=[{**APP, "privileges": {"shop.missing": ["SELECT"]}}])
    assert APP["password"] not in str(caught.value)


def test_privilege_to_grant_is_missing(pair):
    params = module_params(
        module, login_host=pair.primary.ip, login_user=lab.MONITOR_USER, login_password=lab.MONITOR_PASSWORD,
        accounts=[{"name": "x", "password": "one-1"}],
    )  # fmt: skip
    with Connection(ConnectionOptions.from_params(params)) as connection:
        manager = module.Manager(connection, params)
        manager.accounts()
        with pytest.raises(DatabaseError, match="needs CREATE USER"):
            manager.run()
