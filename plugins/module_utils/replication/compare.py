# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the data of a replica with its primary while both are in use. Reads only, locks nothing.

Ranges of the primary key are checksummed on both servers at the same time. Where they differ the rows are
compared one by one: a row counts as different only when the replica has passed a GTID position of the primary
at which that row was read, and the row was still the same on the primary afterwards.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Sequence, Tuple

from ..mysql.connection import Connection, DatabaseError, quote

Key = Tuple[Any, ...]
_TARGET_SECONDS = 0.5
_MIN_ROWS, _MAX_ROWS = 200, 200_000
_CONFIRMATIONS = 5
_LONGEST_STATEMENT = 30
_UNKEYED_LIMIT = 100_000

# Kinds whose values as text never hold the mark between values.
_WITHOUT_MARK = {
    "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "bit", "date", "datetime",
    "timestamp", "time", "year", "inet4", "inet6", "uuid",
}  # fmt: skip


class Table(NamedTuple):
    """A table by its primary key and its columns: name, type and character set."""

    schema: str
    name: str
    key: tuple[str, ...]
    columns: tuple[tuple[str, str, str], ...]

    @property
    def label(self) -> str:
        """The table as messages name it."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """The table as statements name it."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def crc(self) -> str:
        """One number per row; NULL, the empty string and the ends of texts give different ones."""
        mixed = len({charset for _name, _kind, charset in self.columns if charset}) > 1
        values = []
        for name, kind, charset in self.columns:
            column = quote(name)
            if mixed and charset:
                # Texts of unlike character sets cannot always be joined.
                column = f"CAST({column} AS BINARY)"
            elif kind == "bit":
                column += " + 0"
            if kind not in _WITHOUT_MARK:
                # Such a value may contain the mark that separates values.
                values.append(f"LENGTH({quote(name)})")
            values.append(column)
        nulls = ", ".join(f"ISNULL({quote(name)})" for name, _kind, _charset in self.columns)
        return f"CRC32(CONCAT_WS('#', {', '.join(values)}, CONCAT({nulls})))"


def _after(key: Sequence[str], bound: Key, inclusive: bool, upwards: bool) -> tuple[str, list[Any]]:
    """Rows after (or before) a key, written so that the server uses the index for compound keys, too."""
    sign = ">" if upwards else "<"
    parts, values = [], []
    for position, name in enumerate(key):
        last = position == len(key) - 1
        equal = [f"{quote(k)} = %s" for k in key[:position]]
        compare = sign + "=" if last and inclusive else sign
        parts.append("(" + " AND ".join([*equal, f"{quote(name)} {compare} %s"]) + ")")
        values += [*bound[:position], bound[position]]
    return "(" + " OR ".join(parts) + ")", values


def _range(table: Table, low: Key | None, high: Key | None) -> tuple[str, list[Any]]:
    """The rows above low up to and including high; None is the end of the table."""
    clauses, values = [], []
    for bound, inclusive, upwards in ((low, False, True), (high, True, False)):
        if bound is not None:
            text, more = _after(table.key, bound, inclusive, upwards)
            clauses.append(text)
            values += more
    return (" WHERE " + " AND ".join(clauses) if clauses else ""), values


class Side:
    """One of the two servers."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        connection.rows("SET SESSION time_zone = '+00:00'")
        if connection.dialect.mariadb:
            connection.rows("SET SESSION max_statement_time = %s", (_LONGEST_STATEMENT,))
        else:
            connection.rows("SET SESSION max_execution_time = %s", (_LONGEST_STATEMENT * 1000,))

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The rows of a statement that may take long."""
        with self.connection.longer(_LONGEST_STATEMENT):
            return self.connection.rows(statement, values, as_text=False)

    def tables(self, schemas: Sequence[str]) -> dict[str, Table]:
        """The base tables of these schemas by their labels."""
        marks = ", ".join(["%s"] * len(schemas))
        columns = self.connection.rows(
            "SELECT c.TABLE_SCHEMA AS s, c.TABLE_NAME AS t, c.COLUMN_NAME AS c, LOWER(c.DATA_TYPE) AS k,"
            " COALESCE(c.CHARACTER_SET_NAME, '') AS e"
            " FROM information_schema.COLUMNS c JOIN information_schema.TABLES b"
            " ON b.TABLE_SCHEMA = c.TABLE_SCHEMA AND b.TABLE_NAME = c.TABLE_NAME"
            f" WHERE b.TABLE_TYPE = 'BASE TABLE' AND c.TABLE_SCHEMA IN ({marks})"
            " ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION",
            schemas,
        )
        keys = self.connection.rows(
            "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, COLUMN_NAME AS c FROM information_schema.STATISTICS"
            f" WHERE INDEX_NAME = 'PRIMARY' AND TABLE_SCHEMA IN ({marks})"
            " ORDER BY TABLE_SCHEMA, TABLE_NAME, SEQ_IN_INDEX",
            schemas,
        )
        found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        for row in columns:
            found.setdefault((row["s"], row["t"]), []).append((row["c"], row["k"], row["e"]))
        primary: dict[tuple[str, str], list[str]] = {}
        for row in keys:
            primary.setdefault((row["s"], row["t"]), []).append(row["c"])
        tables = [Table(s, t, tuple(primary.get((s, t), ())), tuple(c)) for (s, t), c in found.items()]
        return {table.label: table for table in tables}

    def checksum(self, table: Table, low: Key | None, high: Key | None) -> tuple[int, int]:
        """How many rows a range has, and a sum over them that tells whether they are equal."""
        where, values = _range(table, low, high)
        row = self.rows(f"SELECT COUNT(*) AS n, COALESCE(SUM({table.crc}), 0) AS s FROM {table.sql}{where}", values)[0]
        return int(row["n"]), int(row["s"])

    def next_key(self, table: Table, low: Key | None, count: int) -> Key | None:
        """The key of the row that comes this many rows later; None at the end of the table."""
        where, values = _range(table, low, None)
        names = ", ".join(quote(k) for k in table.key)
        found = self.rows(f"SELECT {names} FROM {table.sql}{where} ORDER BY {names} LIMIT {count - 1}, 1", values)
        return tuple(found[0][k] for k in table.key) if found else None

    def each(self, table: Table, low: Key | None, high: Key | None) -> dict[Key, int]:
        """A checksum for each row of a range, by its key."""
        where, values = _range(table, low, high)
        names = ", ".join(quote(k) for k in table.key)
        found = self.rows(f"SELECT {names}, {table.crc} AS `crc of the row` FROM {table.sql}{where}", values)
        return {tuple(row[k] for k in table.key): int(row["crc of the row"]) for row in found}

    def some(self, table: Table, keys: Sequence[Key]) -> dict[Key, int]:
        """A checksum for each of these rows that is there, by its key."""
        names = [quote(k) for k in table.key]
        one = "(" + " AND ".join(f"{name} = %s" for name in names) + ")"
        found: dict[Key, int] = {}
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            rows = self.rows(
                f"SELECT {', '.join(names)}, {table.crc} AS `crc of the row` FROM {table.sql}"
                f" WHERE {' OR '.join([one] * len(part))}",
                [value for key in part for value in key],
            )
            found.update({tuple(row[k] for k in table.key): int(row["crc of the row"]) for row in rows})
        return found

    def position(self) -> str:
        """What this server has applied."""
        name = "gtid_current_pos" if self.connection.dialect.mariadb else "gtid_executed"
        return str(self.connection.value(f"SELECT @@GLOBAL.{name} AS p")).replace("\n", "")

    def reach(self, position: str, seconds: float) -> bool:
        """Whether this server arrives at the position within these seconds."""
        with self.connection.longer(seconds):
            answer = self.connection.value(self.connection.dialect["wait_gtid"], (position, seconds))
        return str(answer) not in {"1", "-1", "None"}


class Comparison:
    """One comparison, bounded in time."""

    def __init__(self, primary: Connection, replica: Connection, seconds: float, chunk_rows: int) -> None:
        self.primary, self.replica = Side(primary), Side(replica)
        self.began = time.monotonic()
        self.deadline = self.began + seconds
        self.chunk_rows = chunk_rows
        self.result: dict[str, Any] = {
            "tables": 0, "rows": 0, "ranges": 0, "complete": True, "different": [], "inconclusive": [], "skipped": [],
            "error": "",
        }  # fmt: skip

    def run(self, schemas: Sequence[str]) -> dict[str, Any]:
        """Compare the tables of these schemas until the deadline."""
        try:
            here, there = self.replica.tables(schemas), self.primary.tables(schemas)
            absent = [s for s in schemas if not any(label.startswith(f"{s}.") for label in {**here, **there})]
            if absent:
                self.result["error"] = (
                    f"Nothing to compare: no table is visible in {', '.join(absent)} on either server."
                )
            with ThreadPoolExecutor(max_workers=2) as pool:
                for label in sorted(set(here) | set(there)):
                    if time.monotonic() > self.deadline:
                        self.result["complete"] = False
                        break
                    self._table(pool, label, there.get(label), here.get(label))
        except DatabaseError as error:
            grant = f" GRANT SELECT ON the schemas {', '.join(schemas)} on both servers." if error.denied else ""
            self.result["error"] = f"The comparison stopped: {error}{grant}"
        self.result["elapsed_s"] = round(time.monotonic() - self.began, 3)
        return self.result

    def _table(self, pool: ThreadPoolExecutor, label: str, there: Table | None, here: Table | None) -> None:
        self.result["tables"] += 1
        if there is None or here is None:
            kind = "the table exists only on the replica" if there is None else "the table is missing on the replica"
            self._differs(label, kind, 0)
        elif there.columns != here.columns or there.key != here.key:
            self._differs(label, "columns or primary key differ", 0)
        elif not there.key:
            self._unkeyed(there)
        else:
            self._ranges(pool, there)

    def _differs(self, label: str, text: str, rows: int) -> None:
        self.result["different"].append({"table": label, "range": text, "rows": rows})

    def _both(self, pool: ThreadPoolExecutor, table: Table, low: Key | None, high: Key | None) -> tuple[Any, Any]:
        there = pool.submit(self.primary.checksum, table, low, high)
        here = pool.submit(self.replica.checksum, table, low, high)
        return there.result(), here.result()

    def _unkeyed(self, table: Table) -> None:
        """Without a key there are no ranges: the whole table at once, if it is small."""
        estimate = self.primary.rows(
            f"SELECT COUNT(*) AS n FROM (SELECT 1 FROM {table.sql} LIMIT {_UNKEYED_LIMIT + 1}) r"
        )
        if int(estimate[0]["n"]) > _UNKEYED_LIMIT:
            self.result["skipped"].append({"table": table.label, "reason": "large and without a primary key"})
            self.result["complete"] = False
            return
        for _attempt in range(_CONFIRMATIONS):
            before = self.primary.checksum(table, None, None)
            if not self._level():
                return
            here = self.replica.checksum(table, None, None)
            if here in (before, self.primary.checksum(table, None, None)):
                self.result["rows"] += here[0]
                return
            if before == self.primary.checksum(table, None, None):
                self._differs(table.label, "the whole table (it has no primary key)", abs(here[0] - before[0]))
                return
        self.result["inconclusive"].append({"table": table.label, "range": "the whole table, under constant change"})

    def _ranges(self, pool: ThreadPoolExecutor, table: Table) -> None:
        low: Key | None = None
        rows = self.chunk_rows
        while True:
            began = time.monotonic()
            if began > self.deadline:
                self.result["complete"] = False
                return
            high = self.primary.next_key(table, low, rows)
            there, here = self._both(pool, table, low, high)
            spent = time.monotonic() - began
            self.result["ranges"] += 1
            self.result["rows"] += there[0]
            if there != here:
                self._compare_rows(table, low, high)
            if high is None:
                return
            low = high
            # Keep each statement short, so that it slows neither server.
            rows = max(_MIN_ROWS, min(_MAX_ROWS, int(rows * min(2.0, _TARGET_SECONDS / max(spent, 0.001)))))

    def _compare_rows(self, table: Table, low: Key | None, high: Key | None) -> None:
        there, here = self.primary.each(table, low, high), self.replica.each(table, low, high)
        open_keys = {k for k in set(there) | set(here) if there.get(k) != here.get(k)}
        for _attempt in range(_CONFIRMATIONS):
            if not open_keys:
                return
            keys = sorted(open_keys, key=repr)
            before = self.primary.some(table, keys)
            if not self._level():
                return
            now, after = self.replica.some(table, keys), self.primary.some(table, keys)
            steady = {k for k in keys if before.get(k) == after.get(k)}
            wrong = {k for k in steady if now.get(k) != after.get(k)}
            if wrong:
                self._report(table, wrong, now, after)
            open_keys -= steady
            open_keys -= {k for k in open_keys if now.get(k) in (before.get(k), after.get(k))}
        if open_keys:
            text = f"{len(open_keys)} row(s) under constant change"
            self.result["inconclusive"].append({"table": table.label, "range": text})

    def _level(self) -> bool:
        """Wait until the replica has applied all that the primary has now."""
        seconds = max(0.1, min(30.0, self.deadline - time.monotonic()))
        if self.replica.reach(self.primary.position(), seconds):
            return True
        self.result["complete"] = False
        self.result["error"] = (
            f"The replica did not reach the primary's position within {seconds:.0f} s, "
            "so differences cannot be told from lag."
        )
        return False

    def _report(self, table: Table, wrong: set[Key], here: dict[Key, int], there: dict[Key, int]) -> None:
        groups: dict[str, list[Key]] = {}
        for key in wrong:
            kind = "missing here" if key not in here else "only here" if key not in there else "different"
            groups.setdefault(kind, []).append(key)
        names = ", ".join(table.key)
        for kind, keys in sorted(groups.items()):
            ordered = _ordered(keys)
            first, last = _readable(ordered[0]), _readable(ordered[-1])
            text = f"{names} = {first}" if len(keys) == 1 else f"{names} from {first} to {last}"
            self._differs(table.label, f"{text}: {len(keys)} row(s) {kind}", len(keys))


def _ordered(keys: Sequence[Key]) -> list[Key]:
    try:
        return sorted(keys)
    except TypeError:
        return sorted(keys, key=repr)


def _readable(key: Key) -> str:
    parts = [value.hex() if isinstance(value, (bytes, bytearray)) else str(value) for value in key]
    return parts[0] if len(parts) == 1 else "(" + ", ".join(parts) + ")"
