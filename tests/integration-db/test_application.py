"""What applications and their migrations do, with the privileges and settings that the roles give them."""

from __future__ import annotations

import contextlib

import lab
import pymysql
import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.modules import mysql_accounts, mysql_settings, mysql_time_zones
from conftest import local
from places import TOP

DEFAULTS = yaml.safe_load((TOP / "roles/mysql_primary/defaults/main.yml").read_text())
SERVER = yaml.safe_load((TOP / "roles/mysql_server/vars/main.yml").read_text())["__mysql_server_common_settings"]
PASSWORD = "App-pass-1"
MIGRATION = (
    "CREATE TABLE app.orders (id INT PRIMARY KEY AUTO_INCREMENT, price INT, updates INT NOT NULL DEFAULT 0)",
    "CREATE VIEW app.dear AS SELECT * FROM app.orders WHERE price > 10",
    "CREATE TRIGGER app.counted BEFORE UPDATE ON app.orders FOR EACH ROW SET NEW.updates = OLD.updates + 1",
    "CREATE FUNCTION app.taxed(price INT) RETURNS INT DETERMINISTIC RETURN price * 2",
    "CREATE PROCEDURE app.raise_all() UPDATE app.orders SET price = price + 1",
    "INSERT INTO app.orders (price) VALUES (5), (15)",
    "CALL app.raise_all()",
    "ALTER FUNCTION app.taxed COMMENT 'with tax'",
    "SHOW CREATE VIEW app.dear",
)


@pytest.fixture
def accounts(pair, run):
    """The application's accounts, and the settings of the role that concern it."""
    name = "log_bin_trust_function_creators"
    wanted = {key: SERVER[key] for key in SERVER if key == name}
    run(mysql_settings, settings=wanted, **local(pair.primary))
    privileges = {
        "app": DEFAULTS["mysql_primary_app_privileges"],
        "app_reader": DEFAULTS.get("mysql_primary_app_reader_privileges", ["SELECT"]),
    }
    listed = [
        {"name": user, "host": "%", "password": PASSWORD, "privileges": {"app.*": names}}
        for user, names in privileges.items()
    ]
    assert not run(mysql_accounts, accounts=listed, **local(pair.primary)).get("failed")
    yield pair
    pair.primary.sql(f"SET GLOBAL {name} = OFF")


def session(server: lab.Server, user: str):
    """A connection of the application."""
    return contextlib.closing(
        pymysql.connect(
            host=server.ip, user=user, password=PASSWORD, autocommit=True, ssl={"ca": str(lab.ROOT / "tls" / "ca.pem")}
        )
    )


def test_a_migration_creates_views_triggers_and_routines(accounts):
    pair = accounts
    with session(pair.primary, "app") as connection, connection.cursor() as cursor:
        for statement in MIGRATION:
            cursor.execute(statement)
    pair.settle()
    with session(pair.replica, "app_reader") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT price, updates, app.taxed(price) FROM app.dear")
        assert cursor.fetchall() == ((16, 1, 32),)
        with pytest.raises(pymysql.err.OperationalError):
            cursor.execute("CREATE VIEW app.mine AS SELECT 1")


def clear(pair) -> None:
    """Servers that do not know time zones."""
    tables = ("time_zone", "time_zone_name", "time_zone_transition", "time_zone_transition_type")
    pair.primary.sql(*(f"TRUNCATE TABLE mysql.{table}" for table in tables))
    pair.settle()


CONVERTED = "SELECT CONVERT_TZ('2026-07-01 12:00:00', 'UTC', 'Europe/Zurich')"


def test_time_zones_are_loaded_once_and_replicated(pair, run, monkeypatch, tmp_path):
    # The programs of the server are in its container.
    for name in (*mysql_time_zones.PROGRAMS, *mysql_time_zones.CLIENTS):
        if pair.primary.exec("sh", "-c", f"command -v {name} || true"):
            program = tmp_path / name
            words = "$(printf '%s\\n' \"$@\" | sed 's|^--socket=.*|--socket=/run/mysqld/mysqld.sock|;/^--defaults/d')"
            program.write_text(f"#!/bin/sh\nexec docker exec -i {pair.primary.name} {name} {words}\n")
            program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    clear(pair)
    assert pair.replica.value(CONVERTED) is None
    options = local(pair.primary)
    assert run(mysql_time_zones, check_mode=True, **options)["changed"] is True
    assert pair.primary.value(CONVERTED) is None
    first = run(mysql_time_zones, **options)
    assert (first["changed"], first["names"] > 400) == (True, True), first
    pair.settle()
    assert str(pair.primary.value(CONVERTED)) == str(pair.replica.value(CONVERTED)) == "2026-07-01 14:00:00"
    assert run(mysql_time_zones, **options)["changed"] is False
    # A loading that was interrupted is done again, and whole.
    pair.primary.sql("DELETE FROM mysql.time_zone_name WHERE Name >= 'Pacific'")
    assert run(mysql_time_zones, **options)["names"] == first["names"]
    pair.settle()
    clear(pair)
