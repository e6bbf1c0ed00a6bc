# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a server, as digests that can be compared with those of another server.

One statement for all tables: with thousands of them, only a few numbers of each are sent. Only where digests differ
are the columns and keys themselves read, to name the difference. Reads only.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

from ..mysql.connection import Connection

Row = Mapping[str, Any]
SYSTEM_SCHEMAS = ("mysql", "sys", "performance_schema", "information_schema")
# Any of these, on all schemas, shows every table and column. REFERENCES shows no data.
_SHOWING = {"ALL PRIVILEGES", "SELECT", "INSERT", "UPDATE", "REFERENCES"}
_COLUMNS = (
    "ORDINAL_POSITION", "COLUMN_NAME", "COLUMN_TYPE", "IS_NULLABLE", "COLUMN_DEFAULT", "COLLATION_NAME", "EXTRA",
    "GENERATION_EXPRESSION",
)  # fmt: skip
_KEYS = ("INDEX_NAME", "NON_UNIQUE", "SEQ_IN_INDEX", "COLUMN_NAME", "SUB_PART", "INDEX_TYPE", "COLLATION")
_FOREIGN_KEYS = ("CONSTRAINT_NAME", "REFERENCED_TABLE_NAME", "UPDATE_RULE", "DELETE_RULE")
_MOST_DETAILS = 3
ONLY_THERE, ONLY_HERE = "it is missing here", "it does not exist on the primary"


def _keys(mariadb: bool) -> tuple[str, ...]:
    return (*_KEYS, "IGNORED") if mariadb else (*_KEYS, "EXPRESSION", "IS_VISIBLE")


def _described_keys(mariadb: bool) -> tuple[str, ...]:
    return tuple(each for each in _keys(mariadb) if each not in {"INDEX_NAME", "SEQ_IN_INDEX"})


def _text(columns: Sequence[str]) -> str:
    """The values of a row as one text in which NULL is not the empty string."""
    values = ", ".join(f"COALESCE({column}, '\\1')" for column in columns)
    return f"CONCAT_WS('\\0', {values})"


def _digest(columns: Sequence[str]) -> str:
    """A number for a group of rows, whatever their order; MySQL 9.6 and later have no MD5 of their own."""
    return f"BIT_XOR(CAST(CONV(LEFT(SHA2({_text(columns)}, 256), 15), 16, 10) AS UNSIGNED))"


def _where(schema: str, table: str, names: Sequence[tuple[str, str]]) -> str:
    if not names:
        return f"{schema} NOT IN ({', '.join(repr(each) for each in SYSTEM_SCHEMAS)})"
    return "(" + " OR ".join([f"{schema} = %s AND {table} = %s"] * len(names)) + ")"


def _statement(mariadb: bool, names: Sequence[tuple[str, str]]) -> str:
    group = "GROUP BY TABLE_SCHEMA, TABLE_NAME"
    here = _where("TABLE_SCHEMA", "TABLE_NAME", names)
    foreign = _where("CONSTRAINT_SCHEMA", "TABLE_NAME", names)
    return f"""
        SELECT 'table' AS part, TABLE_SCHEMA AS s, TABLE_NAME AS t, ENGINE AS a, TABLE_COLLATION AS b,
          AUTO_INCREMENT AS c
        FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND {here}
        UNION ALL
        SELECT 'columns', TABLE_SCHEMA, TABLE_NAME, {_digest(_COLUMNS)},
          MAX(IF(EXTRA LIKE '%%auto_increment%%', COLUMN_TYPE, NULL)), NULL
        FROM information_schema.COLUMNS WHERE {here} {group}
        UNION ALL
        SELECT 'keys', TABLE_SCHEMA, TABLE_NAME, {_digest(_keys(mariadb))},
          MAX(NON_UNIQUE = 0 AND SEQ_IN_INDEX = 1 AND NULLABLE = ''), NULL
        FROM information_schema.STATISTICS WHERE {here} {group}
        UNION ALL
        SELECT 'foreign', CONSTRAINT_SCHEMA, TABLE_NAME, {_digest(_FOREIGN_KEYS)}, NULL, NULL
        FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE {foreign} GROUP BY CONSTRAINT_SCHEMA, TABLE_NAME"""


def read_tables(connection: Connection, names: Sequence[tuple[str, str]] = ()) -> list[dict[str, Any]]:
    """All tables but the system's, or those of the given schemas and names."""
    if not connection.dialect.mariadb:
        # Otherwise the numbers may be a day old.
        connection.rows("SET SESSION information_schema_stats_expiry = 0")
    values = [part for name in names for part in name] * 4
    rows = connection.rows(_statement(connection.dialect.mariadb, names), values)
    parts: dict[str, dict[tuple[str, str], Row]] = {"table": {}, "columns": {}, "keys": {}, "foreign": {}}
    for row in rows:
        parts[row["part"]][row["s"], row["t"]] = row
    return [
        {
            "schema": name[0],
            "table": name[1],
            "engine": row["a"],
            "collation": row["b"],
            "columns": _value(parts["columns"], name, "a"),
            "keys": _value(parts["keys"], name, "a"),
            "foreign_keys": _value(parts["foreign"], name, "a"),
            # A unique key over columns without NULL tells rows apart as well as a primary key.
            "keyed": _value(parts["keys"], name, "b") == "1",
            "counter": _value(parts["columns"], name, "b") or None,
            "next": None if row["c"] is None else int(row["c"]),
        }
        for name, row in sorted(parts["table"].items())
    ]


def _value(part: Mapping[tuple[str, str], Row], name: tuple[str, str], column: str) -> str:
    found = part.get(name, {}).get(column)
    return "" if found is None else str(found)


def privileges_everywhere(grants: Iterable[str]) -> set[str]:
    """What an account may on all schemas, by SHOW GRANTS; nothing where some of it is revoked for one of them."""
    found: set[str] = set()
    for line in grants:
        if line.startswith("REVOKE "):
            return set()
        privileges, everywhere, _to = line.partition(" ON *.* TO ")
        if everywhere:
            found |= {each.strip() for each in privileges[len("GRANT ") :].split(",")}
    return found


def sees_all_tables(privileges: set[str]) -> bool:
    """Whether an account with these privileges on all schemas is shown every table."""
    return bool(_SHOWING & privileges)


def sees_all_objects(privileges: set[str]) -> bool:
    """Whether an account with these privileges on all schemas is shown every trigger, routine, event and view."""
    return "ALL PRIVILEGES" in privileges or {"SELECT", "TRIGGER", "EVENT"} <= privileges


def read_objects(connection: Connection) -> list[dict[str, Any]]:
    """What is stored to be run later, by whom, and whether that account is there."""
    parts = []
    for kind, view, prefix, more in (
        ("trigger", "TRIGGERS", "TRIGGER", "NULL, NULL"),
        ("routine", "ROUTINES", "ROUTINE", "NULL, NULL"),
        ("event", "EVENTS", "EVENT", "STATUS, ORIGINATOR"),
        ("view", "VIEWS", "TABLE", "NULL, NULL"),
    ):
        schema = f"{prefix}_SCHEMA"
        parts.append(
            f"SELECT '{kind}' AS kind, {schema} AS s, {prefix}_NAME AS n, DEFINER AS d, {more}"
            f" FROM information_schema.{view} WHERE {_where(schema, '', ())}"
        )
    statement = " UNION ALL ".join(parts).replace("NULL, NULL", "NULL AS state, NULL AS origin", 1)
    rows = connection.rows(statement)
    definers = sorted({str(row["d"]) for row in rows})
    existing: set[str] = set()
    if definers:
        marks = ", ".join(["%s"] * len(definers))
        account = "CONCAT(User, '@', Host)"
        listed = connection.rows(f"SELECT {account} AS account FROM mysql.user WHERE {account} IN ({marks})", definers)
        existing = {str(row["account"]) for row in listed}
    return [
        {
            "kind": row["kind"],
            "schema": row["s"],
            "name": row["n"],
            "definer": str(row["d"]),
            "definer_exists": str(row["d"]) in existing,
            "state": row["state"],
            "origin": None if row["origin"] is None else int(row["origin"]),
        }
        for row in rows
    ]


def differences(here: Iterable[Row], there: Iterable[Row]) -> dict[tuple[str, str], str]:
    """Tables that are not the same here and on the primary, with what differs in a word or two."""
    left = {(row["schema"], row["table"]): row for row in here}
    right = {(row["schema"], row["table"]): row for row in there}
    found = dict.fromkeys(right.keys() - left.keys(), ONLY_THERE)
    found.update(dict.fromkeys(left.keys() - right.keys(), ONLY_HERE))
    for name in left.keys() & right.keys():
        wrong = [word for word in ("columns", "keys", "foreign keys") if _unlike(left[name], right[name], word)]
        wrong += [
            f"{word} {left[name][word]} here, {right[name][word]} on the primary"
            for word in ("engine", "collation")
            if _unlike(left[name], right[name], word)
        ]
        if wrong:
            found[name] = ", ".join(wrong)
    return found


def _unlike(left: Row, right: Row, word: str) -> bool:
    key = word.replace(" ", "_")
    return left[key] != right[key]


def is_grave(difference: str) -> bool:
    """Whether applying rows of the primary to such a table may fail."""
    return difference.startswith((ONLY_THERE, "columns"))


def describe_table(connection: Connection, schema: str, table: str) -> dict[str, str]:
    """Each column, key and foreign key of a table as a text."""
    mariadb = connection.dialect.mariadb
    sources = (
        ("column", "COLUMN_NAME", _COLUMNS[2:], "COLUMNS", "TABLE_SCHEMA", ("ORDINAL_POSITION",)),
        ("key", "INDEX_NAME", _described_keys(mariadb), "STATISTICS", "TABLE_SCHEMA", ("INDEX_NAME", "SEQ_IN_INDEX")),
        ("foreign key", "CONSTRAINT_NAME", _FOREIGN_KEYS[1:], "REFERENTIAL_CONSTRAINTS", "CONSTRAINT_SCHEMA", ()),
    )
    found: dict[str, str] = {}
    for kind, name, columns, view, owner, order in sources:
        rows = connection.rows(
            f"SELECT {', '.join([f'{name} AS name', *columns])} FROM information_schema.{view}"
            f" WHERE {owner} = %s AND TABLE_NAME = %s" + (f" ORDER BY {', '.join(order)}" if order else ""),
            (schema, table),
        )
        for position, row in enumerate(rows):
            values = {key.upper(): value for key, value in row.items()}
            label = f"{kind} {values.pop('NAME')}"
            text = _joined(_shown(column, value) for column, value in values.items() if value not in _PLAIN)
            if kind == "column":
                text = f"{text} at {position + 1}"
            found[label] = f"{found[label]}, {text}" if label in found else text
    return found


def _joined(words: Iterable[str]) -> str:
    return " ".join(filter(None, words))


# Values that a description leaves out.
_PLAIN = {None, "", "NULL", "A"}


def _shown(column: str, value: Any) -> str:
    """A value with the name of its column, unless the value alone is clear."""
    if column in {"COLUMN_TYPE", "EXTRA", "COLUMN_NAME", "INDEX_TYPE", "COLLATION_NAME", "REFERENCED_TABLE_NAME"}:
        return str(value)
    if column == "IS_NULLABLE":
        return "NULL" if value == "YES" else "NOT NULL"
    if column == "NON_UNIQUE":
        return "not unique" if str(value) == "1" else "unique"
    if column in {"IS_VISIBLE", "IGNORED"}:
        return "" if (column, value) in {("IS_VISIBLE", "YES"), ("IGNORED", "NO")} else "invisible"
    return f"{column.lower().replace('_', ' ')} {value}"


def named_differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """The differences between two described tables in words; empty if there is none."""
    found = []
    for label in [*there, *(each for each in here if each not in there)]:
        left, right = here.get(label), there.get(label)
        if left is None:
            found.append(f"{label} ({right}) is missing here")
        elif right is None:
            found.append(f"{label} ({left}) is not on the primary")
        elif left != right:
            found.append(f"{label} is {left} here, {right} on the primary")
    more = f" and {len(found) - _MOST_DETAILS} more" if len(found) > _MOST_DETAILS else ""
    return "; ".join(found[:_MOST_DETAILS]) + more
