# SPDX-License-Identifier: GPL-3.0-or-later
"""A comparison names the rows that differ, and never takes lag, or a row that changes meanwhile, for a difference."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import Connection, ConnectionOptions
from ansible_collections.pentad.webstack.plugins.module_utils.replication import compare
from hypothesis import given
from hypothesis import strategies as st
from scripted_mysql import Clock, Data, Network, Server, error

TABLE = "CREATE TABLE shop.items (id INTEGER PRIMARY KEY, name VARCHAR, price DECIMAL)"


class Both:
    """A primary and its replica with a schema C(shop), and the comparison of the two."""

    def __init__(self, network: Network, clock: Clock, version: str = "9.7.4") -> None:
        self.clock = clock
        self.primary = Data(network.add("db1:3306", Server(version)))
        self.replica = Data(network.add("db2:3306", Server(version)))
        self.primary.server.on("@@GLOBAL.gtid_executed AS p", [{"p": "u:1-\n9"}])
        self.replica.server.on("SELECT WAIT_FOR_EXECUTED_GTID_SET", [{"reached": 0}])

    def run(self, *statements: str) -> None:
        """Change the data on the primary, from where they replicate at once."""
        self.primary.run(*statements)
        self.replica.run(*statements)

    def fill(self, count: int) -> None:
        """Let there be a table with so many rows on both."""
        self.run(TABLE, *(f"INSERT INTO shop.items VALUES ({n}, 'name {n}', {n}.5)" for n in range(1, count + 1)))

    def on_wait(self, *meanwhile: Any) -> None:
        """What happens at each wait for the replica, the last one for ever; it always arrives."""

        def arrive(action: Any) -> Any:
            return lambda *_: action() or [{"reached": 0}]

        self.replica.server.on("SELECT WAIT_FOR_EXECUTED_GTID_SET", *map(arrive, meanwhile))

    def compare(self, *schemas: str, seconds: float = 300, chunk: int = 20000) -> dict[str, Any]:
        """The result of a comparison, which has done nothing but read."""
        connections = [Connection(ConnectionOptions(user="verify", host=host)) for host in ("db1", "db2")]
        found = compare.Comparison(*connections, seconds, chunk).run(schemas or ["shop"])
        for server in (self.primary.server, self.replica.server):
            assert set(server.told) == set(server.told_to("SELECT ", "SET SESSION "))
        return found


@pytest.fixture
def both(network, clock) -> Both:
    """A primary and its replica."""
    return Both(network, clock)


def differences(result: dict[str, Any]) -> list[str]:
    """What differs, of a comparison that could judge everything."""
    assert (result["error"], result["inconclusive"]) == ("", [])
    return [f"{entry['table']} {entry['range']}" for entry in result["different"]]


# --- equal data -----------------------------------------------------------------------------------------------------


def test_equal_data_are_equal_and_counted(both):
    both.fill(5)
    both.run("CREATE TABLE shop.empty (id INTEGER PRIMARY KEY)")
    found = both.compare()
    assert differences(found) == []
    assert (found["tables"], found["rows"], found["complete"]) == (2, 5, True)


@pytest.mark.parametrize("count", [1, 6, 7, 8, 250, 1000])
def test_ranges_cover_every_row_once(both, count):
    both.fill(count)
    found = both.compare(chunk=7)
    assert differences(found) == []
    assert (found["rows"], found["complete"]) == (count, True)


def test_ranges_shrink_where_a_server_is_slow_and_grow_where_it_is_fast(both):
    both.fill(900)
    select = both.primary.select

    def slow(statement: str, arguments: tuple[Any, ...]) -> Any:
        both.clock.now += 5 if "LIMIT 399, 1" in statement and " WHERE " not in statement else 0
        return select(statement, arguments)

    both.primary.server.on(" LIMIT ", slow)
    assert differences(both.compare(chunk=400)) == []
    assert re.findall(r"LIMIT (\d+), 1", " ".join(both.primary.server.told)) == ["399", "199", "399"]


# --- rows that differ -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (["UPDATE shop.items SET price = 0 WHERE id = 3"], ["id = 3: 1 row(s) different"]),
        (["UPDATE shop.items SET name = NULL WHERE id = 3"], ["id = 3: 1 row(s) different"]),
        (["DELETE FROM shop.items WHERE id IN (2, 4)"], ["id from 2 to 4: 2 row(s) missing here"]),
        (["INSERT INTO shop.items VALUES (99, 'x', 1)"], ["id = 99: 1 row(s) only here"]),
        (
            ["DELETE FROM shop.items WHERE id = 1", "UPDATE shop.items SET price = 0 WHERE id > 8"],
            ["id from 9 to 10: 2 row(s) different", "id = 1: 1 row(s) missing here"],
        ),
    ],
)
def test_the_rows_that_differ_are_named(both, change, expected):
    both.fill(10)
    both.replica.run(*change)
    assert differences(both.compare()) == [f"shop.items {text}" for text in expected]


def test_each_range_names_its_own_rows(both):
    both.fill(10)
    both.replica.run("UPDATE shop.items SET price = 0 WHERE id IN (2, 9)")
    assert differences(both.compare(chunk=3)) == [
        "shop.items id = 2: 1 row(s) different",
        "shop.items id = 9: 1 row(s) different",
    ]


def test_an_empty_text_is_not_null(both):
    both.fill(2)
    both.primary.run("UPDATE shop.items SET name = '' WHERE id = 1")
    both.replica.run("UPDATE shop.items SET name = NULL WHERE id = 1")
    assert differences(both.compare()) == ["shop.items id = 1: 1 row(s) different"]


def test_values_that_change_places_with_null_are_seen(both):
    both.run("CREATE TABLE shop.pair (id INTEGER PRIMARY KEY, a INT, b INT)")
    both.primary.run("INSERT INTO shop.pair VALUES (1, 7, NULL)")
    both.replica.run("INSERT INTO shop.pair VALUES (1, NULL, 7)")
    assert differences(both.compare()) == ["shop.pair id = 1: 1 row(s) different"]


@pytest.mark.parametrize("chunk", [1, 2, 3, 20000])
def test_keys_of_several_columns_are_walked_in_their_order(both, chunk):
    both.run("CREATE TABLE shop.lines (bill INT, line INT, text VARCHAR, PRIMARY KEY (bill, line))")
    both.run(*(f"INSERT INTO shop.lines VALUES ({b}, {n}, 'x')" for b in (1, 2, 3) for n in (1, 2, 3)))
    found = both.compare(chunk=chunk)
    assert (differences(found), found["rows"]) == ([], 9)
    both.replica.run("UPDATE shop.lines SET text = 'y' WHERE bill = 2 AND line > 1")
    whole = [entry["rows"] for entry in both.compare(chunk=chunk)["different"]]
    assert sum(whole) == 2
    assert differences(both.compare()) == ["shop.lines bill, line from (2, 2) to (2, 3): 2 row(s) different"]


def test_keys_of_bytes_are_shown_in_hexadecimal(both):
    both.run("CREATE TABLE shop.hashes (hash BLOB PRIMARY KEY, n INT)", "INSERT INTO shop.hashes VALUES (x'00ff', 1)")
    both.replica.run("UPDATE shop.hashes SET n = 2")
    assert differences(both.compare()) == ["shop.hashes hash = 00ff: 1 row(s) different"]


def test_keys_without_an_order_among_them_are_named_all_the_same(both):
    both.run("CREATE TABLE shop.mixed (k BLOB PRIMARY KEY)")
    both.primary.run("INSERT INTO shop.mixed VALUES ('text'), (x'01')")
    assert [entry["rows"] for entry in both.compare()["different"]] == [2]


def test_names_with_a_percent_sign_or_a_backquote_are_read(both):
    both.run("CREATE TABLE shop.`100% `` odd` (`a%s` INTEGER PRIMARY KEY)", "INSERT INTO shop.`100% `` odd` VALUES (1)")
    both.replica.run("DELETE FROM shop.`100% `` odd`")
    assert differences(both.compare()) == ["shop.100% ` odd a%s = 1: 1 row(s) missing here"]


def test_texts_of_unlike_character_sets_are_compared_by_their_bytes(both):
    both.run("CREATE TABLE shop.texts (id INTEGER PRIMARY KEY, a VARCHAR, b CHAR, c BIT)")
    both.run("INSERT INTO shop.texts VALUES (1, 'a', 'b', 1)")
    assert differences(both.compare()) == []
    checksum = next(statement for statement in both.primary.server.told if "CRC32" in statement)
    assert "`id`, LENGTH(`a`), CAST(`a` AS BINARY), LENGTH(`b`), CAST(`b` AS BINARY), `c` + 0" in checksum


@pytest.mark.parametrize(
    ("there", "here"), [(("x#", "y"), ("x", "#y")), (("", "#"), ("#", "")), (("1#a", ""), ("1", "a#"))]
)
def test_values_that_hold_the_mark_between_values_are_told_apart(both, there, here):
    both.run("CREATE TABLE shop.texts (id INTEGER PRIMARY KEY, a VARCHAR, b VARCHAR)")
    for side, values in ((both.primary, there), (both.replica, here)):
        side.run("INSERT INTO shop.texts VALUES (1, '{}', '{}')".format(*values))
    assert differences(both.compare()) == ["shop.texts id = 1: 1 row(s) different"]


TEXTS = st.one_of(st.none(), st.text(alphabet="#12a", max_size=4))


@given(st.tuples(TEXTS, TEXTS, TEXTS), st.tuples(TEXTS, TEXTS, TEXTS))
def test_rows_have_one_text_only_if_they_are_equal(left, right):
    columns = tuple((name, "varchar", "utf8mb4") for name in "abc")
    expression = compare.Table("s", "t", (), columns).crc.removeprefix("CRC32(").removesuffix(")")
    base = sqlite3.connect(":memory:")
    base.create_function("concat", -1, lambda *values: "".join(map(str, values)))
    base.create_function("concat_ws", -1, lambda mark, *values: mark.join(str(v) for v in values if v is not None))
    base.create_function("is_null", 1, lambda value: int(value is None))
    told = [
        base.execute(f"SELECT {expression.replace('ISNULL(', 'IS_NULL(')} FROM (SELECT ? a, ? b, ? c)", row).fetchone()
        for row in (left, right)
    ]
    assert (told[0] == told[1]) == (left == right)


# --- tables that differ ---------------------------------------------------------------------------------------------


def test_a_table_that_only_one_of_them_has_differs(both):
    both.primary.run("CREATE TABLE shop.a (id INTEGER PRIMARY KEY)")
    both.replica.run("CREATE TABLE shop.b (id INTEGER PRIMARY KEY)")
    assert differences(both.compare()) == [
        "shop.a the table is missing on the replica",
        "shop.b the table exists only on the replica",
    ]


@pytest.mark.parametrize(
    "other",
    [
        "CREATE TABLE shop.t (id INTEGER PRIMARY KEY, a INT, b INT)",
        "CREATE TABLE shop.t (id INTEGER PRIMARY KEY, a BIGINT)",
        "CREATE TABLE shop.t (id INTEGER, a INT)",
    ],
    ids=["columns", "type", "key"],
)
def test_tables_of_another_shape_are_not_compared_by_row(both, other):
    both.primary.run("CREATE TABLE shop.t (id INTEGER PRIMARY KEY, a INT)")
    both.replica.run(other)
    assert differences(both.compare()) == ["shop.t columns or primary key differ"]
    assert not [statement for statement in both.replica.server.told if "CRC32" in statement]


@pytest.fixture
def unkeyed(both) -> Both:
    """Both, with a table that has no primary key."""
    both.run("CREATE TABLE shop.log (text VARCHAR)", "INSERT INTO shop.log VALUES ('a'), ('b')")
    return both


def test_a_table_without_a_key_is_compared_as_a_whole(unkeyed):
    found = unkeyed.compare()
    assert (differences(found), found["rows"]) == ([], 2)
    unkeyed.replica.run("DELETE FROM shop.log WHERE text = 'a'")
    found = unkeyed.compare()
    assert differences(found) == ["shop.log the whole table (it has no primary key)"]
    assert found["different"][0]["rows"] == 1


def test_a_large_table_without_a_key_is_skipped_and_said_so(unkeyed, monkeypatch):
    monkeypatch.setattr(compare, "_UNKEYED_LIMIT", 1)
    found = unkeyed.compare()
    assert found["skipped"] == [{"table": "shop.log", "reason": "large and without a primary key"}]
    assert (found["complete"], found["different"]) == (False, [])


def test_a_table_without_a_key_that_keeps_changing_cannot_be_judged(unkeyed):
    unkeyed.replica.run("DELETE FROM shop.log WHERE text = 'a'")
    unkeyed.on_wait(lambda: unkeyed.primary.run("INSERT INTO shop.log VALUES ('new')"))
    found = unkeyed.compare()
    assert found["inconclusive"] == [{"table": "shop.log", "range": "the whole table, under constant change"}]
    assert found["different"] == []


def test_a_table_without_a_key_that_changed_once_is_judged_at_the_next_try(unkeyed):
    unkeyed.replica.run("DELETE FROM shop.log WHERE text = 'a'")
    unkeyed.on_wait(lambda: unkeyed.primary.run("INSERT INTO shop.log VALUES ('new'), ('er')"), lambda: None)
    found = unkeyed.compare()
    assert differences(found) == ["shop.log the whole table (it has no primary key)"]
    assert found["different"][0]["rows"] == 3


def test_a_table_without_a_key_is_not_judged_while_the_replica_lags(unkeyed):
    unkeyed.replica.server.on("SELECT WAIT_FOR_EXECUTED_GTID_SET", [{"reached": 1}])
    found = unkeyed.compare()
    assert "did not reach the primary's position within 30 s" in found["error"]
    assert (found["complete"], found["different"]) == (False, [])


# --- under change ---------------------------------------------------------------------------------------------------


def test_lag_is_no_difference(both):
    both.fill(5)
    both.primary.run("UPDATE shop.items SET price = 0", "DELETE FROM shop.items WHERE id = 1")
    late = ("UPDATE shop.items SET price = 0", "DELETE FROM shop.items WHERE id = 1")
    both.on_wait(lambda: both.replica.run(*late), lambda: None)
    assert differences(both.compare()) == []
    assert "SELECT WAIT_FOR_EXECUTED_GTID_SET('u:1-9', 30.0e0)" in both.replica.server.told


@pytest.mark.parametrize("answer", [1, None], ids=["too late", "no such position"])
def test_a_replica_that_does_not_arrive_is_not_judged(both, answer):
    both.fill(5)
    both.primary.run("UPDATE shop.items SET price = 0")
    both.replica.server.on("SELECT WAIT_FOR_EXECUTED_GTID_SET", [{"reached": answer}])
    found = both.compare()
    assert (found["different"], found["complete"]) == ([], False)
    assert "differences cannot be told from lag" in found["error"]


def test_a_row_that_keeps_changing_cannot_be_judged(both):
    both.fill(2)
    both.replica.run("UPDATE shop.items SET price = -1 WHERE id = 1")
    both.on_wait(lambda: both.primary.run("UPDATE shop.items SET price = price + 1 WHERE id = 1"))
    found = both.compare()
    assert found["inconclusive"] == [{"table": "shop.items", "range": "1 row(s) under constant change"}]
    assert found["different"] == []


def test_a_row_that_changed_meanwhile_and_arrived_is_right(both):
    both.fill(2)
    both.replica.run("UPDATE shop.items SET price = -1 WHERE id = 1")
    both.on_wait(lambda: both.run("UPDATE shop.items SET price = 8 WHERE id = 1"))
    assert differences(both.compare()) == []


def test_many_rows_are_looked_at_in_portions(both):
    both.fill(1100)
    both.replica.run("UPDATE shop.items SET price = -1")
    found = both.compare()
    assert differences(found) == ["shop.items id from 1 to 1100: 1100 row(s) different"]


# --- bounds and refusals --------------------------------------------------------------------------------------------


def test_a_schema_that_neither_has_is_an_error(both):
    both.fill(1)
    found = both.compare("shop", "shpo")
    assert found["error"] == "Nothing to compare: no table is visible in shpo on either server."


def test_a_missing_privilege_names_the_grant(both):
    both.fill(1)
    both.replica.server.on("CRC32", error(1142, "SELECT command denied"))
    found = both.compare()
    assert "SELECT command denied (1142)" in found["error"]
    assert found["error"].endswith("GRANT SELECT ON the schemas shop on both servers.")


def test_another_error_names_no_grant(both):
    both.fill(1)
    both.primary.server.on("CRC32", error(1267, "Illegal mix of collations"))
    found = both.compare()
    assert found["error"].startswith("The comparison stopped: db1:3306: Illegal mix of collations")
    assert "GRANT" not in found["error"]


def test_the_time_is_over_before_the_first_table(both):
    both.fill(1)
    both.primary.server.on("information_schema.STATISTICS", lambda *_: both.clock.sleep(301) or [])
    found = both.compare()
    assert (found["tables"], found["complete"], found["elapsed_s"]) == (0, False, 301)


def test_the_time_is_over_within_a_table(both):
    both.fill(500)
    select = both.primary.select

    def slow(statement: str, arguments: tuple[Any, ...]) -> Any:
        both.clock.sleep(60)
        return select(statement, arguments)

    both.primary.server.on("`shop`.", slow)
    found = both.compare(seconds=100, chunk=200)
    assert (found["complete"], found["ranges"], found["different"]) == (False, 1, [])


def test_no_statement_may_hold_a_server_up(both):
    both.fill(1)
    both.compare()
    for side in (both.primary, both.replica):
        assert side.server.told_to("SET SESSION") == [
            "SET SESSION time_zone = '+00:00'",
            "SET SESSION max_execution_time = 30000",
        ]


def test_mariadb_has_names_of_its_own(network, clock):
    both = Both(network, clock, "11.8.6-MariaDB")
    both.fill(2)
    both.replica.run("DELETE FROM shop.items WHERE id = 1")
    both.primary.server.on("@@GLOBAL.gtid_current_pos AS p", [{"p": "0-1-9"}])
    both.replica.server.on("SELECT MASTER_GTID_WAIT('0-1-9', 30.0e0)", [{"reached": 0}])
    assert differences(both.compare()) == ["shop.items id = 1: 1 row(s) missing here"]
    assert "SET SESSION max_statement_time = 30" in both.primary.server.told
