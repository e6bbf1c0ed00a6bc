from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.dialect import TABLE, Dialect

M80, M84, M97 = (Dialect.of(v) for v in ("8.0.46-0ubuntu0.24.04.1", "8.4.8-0ubuntu1", "9.7.4-2"))
D1011, D118 = Dialect.of("10.11.18-MariaDB-0+deb12u1-log"), Dialect.of("11.8.6-MariaDB-5 from Debian")


@pytest.mark.parametrize(
    ("dialect", "flavor", "version"),
    [
        (M80, "mysql", (8, 0, 46)),
        (M84, "mysql", (8, 4, 8)),
        (M97, "mysql", (9, 7, 4)),
        (D1011, "mariadb", (10, 11, 18)),
        (D118, "mariadb", (11, 8, 6)),
        (Dialect.of("5.5.5-10.11.4-MariaDB"), "mariadb", (10, 11, 4)),
        (Dialect.of("10.11.4", "MariaDB Server"), "mariadb", (10, 11, 4)),
        (Dialect.of("nonsense"), "mysql", (0, 0, 0)),
    ],
)
def test_flavor_and_version(dialect, flavor, version):
    assert (dialect.flavor, dialect.version) == (flavor, version)
    assert dialect.mariadb is (flavor == "mariadb")


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("show_replica_status", ["SHOW REPLICA STATUS"] * 3 + ["SHOW ALL REPLICAS STATUS"] * 2),
        (
            "show_binlog_status",
            ["SHOW MASTER STATUS", "SHOW BINARY LOG STATUS", "SHOW BINARY LOG STATUS"] + ["SHOW MASTER STATUS"] * 2,
        ),
        ("show_replicas", ["SHOW REPLICAS"] * 3 + ["SHOW REPLICA HOSTS"] * 2),
        ("seconds_behind", ["Seconds_Behind_Source"] * 3 + ["Seconds_Behind_Master"] * 2),
        ("log_replica_updates", ["log_replica_updates"] * 3 + ["log_slave_updates"] * 2),
        ("retry_count_clause", ["SOURCE_RETRY_COUNT"] * 3 + [None] * 2),
        ("change_source", ["CHANGE REPLICATION SOURCE TO"] * 3 + ["CHANGE MASTER"] * 2),
    ],
)
def test_names_by_version(key, names):
    assert [d.find(key) for d in (M80, M84, M97, D1011, D118)] == names


def test_names_come_and_go_at_their_version():
    assert Dialect("mysql", (8, 1, 0)).find("show_binlog_status") == "SHOW MASTER STATUS"
    assert Dialect("mysql", (8, 2, 0)).find("show_binlog_status") == "SHOW BINARY LOG STATUS"
    assert Dialect("mysql", (8, 0, 25)).find("log_replica_updates") == "log_slave_updates"
    assert Dialect("mariadb", (12, 0, 1)).find("retry_count_clause") == "MASTER_RETRY_COUNT"


def test_at_most_one_name_is_valid_at_a_time():
    for key, forms in TABLE.items():
        for version in {f.since for f in forms} | {f.until for f in forms if f.until} | {(99,)}:
            for flavor in ("mysql", "mariadb"):
                valid = [
                    f
                    for f in forms
                    if f.flavor == flavor and f.since <= version and not (f.until and version >= f.until)
                ]
                # A later row is preferred only by being the only one: two valid names would be a mistake.
                assert len(valid) <= 1 or valid[0].since == valid[-1].since == (0,) or _ordered(valid), (key, version)


def _ordered(valid):
    return [f.since for f in valid] == sorted((f.since for f in valid), reverse=True)


def test_a_server_older_than_the_table_gets_the_oldest_name():
    assert Dialect("mysql", (5, 7, 44))["show_replica_status"] == "SHOW REPLICA STATUS"
    with pytest.raises(KeyError):
        D118["preserve_commit_order"]


@pytest.mark.parametrize(
    ("dialect", "supported"),
    [
        (M80, True),
        (M97, True),
        (D1011, True),
        (D118, True),
        (Dialect("mysql", (5, 7, 44)), False),
        (Dialect("mysql", (10, 0, 0)), False),
        (Dialect("mariadb", (10, 6, 1)), False),
        (Dialect("mariadb", (12, 0, 1)), False),
    ],
)
def test_supported_versions(dialect, supported):
    assert dialect.supported is supported
