from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.replication.errors import (
    applier_advice,
    applier_trouble,
    masked,
    receiver_advice,
)

MYSQL_1062 = (
    "Worker 1 failed executing transaction 'c56cff43-e54d-11f1-9c15-0242ac1f4d0a:7' at source log binlog.000001, "
    "end_log_pos 1952; Could not execute Write_rows event on table app.t; Duplicate entry '50' for key 't.PRIMARY', "
    "Error_code: 1062; handler error HA_ERR_FOUND_DUPP_KEY; the event's source log binlog.000001, end_log_pos 1921"
)
MARIADB_1032 = (
    "Could not execute Update_rows_v1 event on table app.t; Can't find record in 't', Error_code: 1032; handler error "
    "HA_ERR_KEY_NOT_FOUND; the event's master log binlog.000001, end_log_pos 1489"
)


def test_duplicate_entry_is_taken_apart():
    found = applier_trouble(1062, MYSQL_1062)
    assert (found.errno, found.table) == (1062, "app.t")
    assert found.key == "duplicate entry '50' for key t.PRIMARY"
    assert found.gtid == "c56cff43-e54d-11f1-9c15-0242ac1f4d0a:7"


def test_missing_row_is_taken_apart():
    found = applier_trouble(1032, MARIADB_1032)
    assert (found.errno, found.table, found.key) == (1032, "app.t", "the row is missing")


def test_number_inside_a_wrapping_error_counts():
    assert applier_trouble(13117, MYSQL_1062).errno == 1062


def test_missing_table():
    found = applier_trouble(1146, "Error executing row event: 'Table 'app.t' doesn't exist'")
    assert (found.table, found.key) == ("app.t", "the table is missing")


def test_unknown_error_keeps_the_reason_without_the_query():
    text = "Error 'Plugin 'auth_socket' is not loaded' on query. Default database: ''. Query: 'CREATE USER x'"
    assert applier_trouble(1524, text).text == "Plugin 'auth_socket' is not loaded"
    assert applier_advice(1524) is None


@pytest.mark.parametrize(
    ("errno", "message", "word", "heals"),
    [
        (1045, "Access denied for user", "password", False),
        (2003, "Can't connect", "reached", True),
        (2061, "Authentication requires secure connection", "public key", False),
        (13114, "Got fatal error 1236 ... the source has purged required binary logs", "purged", False),
        (1236, "Error: connecting slave requested to start from GTID 0-1-5, which is not in the master's binlog",
         "does not have what this replica has", False),
        (13114, "Got fatal error 1236 from source when reading data from binary log: 'Replica has more GTIDs than the "
         "source has, using the source's SERVER_UUID.'", "does not have what this replica has", False),
        (1236, "A replica with the same server_uuid/server_id as this replica has connected", "refuses", False),
        (13117, "Fatal error: The replica I/O thread stops because source and replica have equal MySQL server UUIDs",
         "refuses", False),
        (1236, "bogus data in log event", "error", False),
        (2026, "SSL connection error: certificate verify failed", "TLS", False),
        (1862, "Your password has expired", "expired", False),
        (9999, "SSL connection error", "TLS", False),
    ],
)  # fmt: skip
def test_receiver_catalogue(errno, message, word, heals):
    advice = receiver_advice(errno, message)
    assert word in advice.meaning
    assert advice.heals is heals
    assert advice.remedy


def test_a_source_that_lacks_what_is_here_is_no_reason_to_rebuild():
    advice = receiver_advice(
        1236, "connecting slave requested to start from GTID 0-1-5, which is not in the master's binlog"
    )
    assert advice.remedy.startswith("Do not rebuild this replica before it is known which of the two has the data")


def test_what_is_not_in_the_catalogue():
    assert receiver_advice(4242, "strange") is None


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Query: 'CREATE USER 'a'@'%' IDENTIFIED WITH 'caching_sha2_password' AS '$A$005$x'", "AS '********'"),
        ("IDENTIFIED BY PASSWORD '*03A86FF'", "PASSWORD '********'"),
        ("ALTER USER x IDENTIFIED BY 'it''s'", "BY '********'"),
        ("USING PASSWORD('x')", "PASSWORD('********'"),
    ],
)
def test_secrets_are_masked(text, clean):
    found = masked(text)
    assert clean in found
    for secret in ("$A$005", "03A86FF", "it''s"):
        assert secret not in found
