# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the error numbers of receiver and applier mean, and what to do about them."""

from __future__ import annotations

import re
from typing import NamedTuple


class Advice(NamedTuple):
    """What an error means, and what to do about it."""

    meaning: str
    remedy: str
    # False where waiting cannot help: somebody has to act.
    heals: bool


_DRIFT = (
    "The data here differs from the source, usually after a write on this server. Do not skip the transaction: "
    "compare the table with the primary, then rebuild this replica or repair the row"
)
KEEP_DATA = (
    "Do not rebuild this server before it is known which of the two has the data: the primary may be a new or restored "
    "server, or have lost them in a failover. Compare the two, and make the one with the data the primary."
)
_PURGED = Advice(
    "the source has purged binary logs that this replica still needs",
    "The missing transactions cannot be fetched any more: rebuild this replica, with the role mysql_replica by "
    "naming this host in mysql_replica_rebuild, or from a backup of the primary.",
    False,
)
_AHEAD = Advice(
    "the source does not have what this replica has",
    "Do not rebuild this replica before it is known which of the two has the data: the source may be a new or restored "
    "server, or have lost transactions. Compare the two, and make the one with the data the primary.",
    False,
)
_IO: dict[int, Advice] = {
    1045: Advice(
        "the source refuses the password or the account",
        "Check the replication account on the source (name, host, password), then give the right password to the "
        "channel and start it.",
        False,
    ),
    1044: Advice("the source refuses the account", "Grant REPLICATION SLAVE to the account on the source.", False),
    1227: Advice(
        "the replication account lacks a privilege", "Grant REPLICATION SLAVE to the account on the source.", False
    ),
    1130: Advice(
        "the source does not allow connections from this address",
        "Create the replication account for this replica's address on the source.",
        False,
    ),
    1862: Advice(
        "the password of the replication account has expired",
        "Set a new password for the account on the source (PASSWORD EXPIRE NEVER), then on the channel.",
        False,
    ),
    1820: Advice(
        "the password of the replication account has expired",
        "Set a new password for the account on the source (PASSWORD EXPIRE NEVER), then on the channel.",
        False,
    ),
    3118: Advice("the replication account is locked", "ALTER USER ... ACCOUNT UNLOCK on the source.", False),
    4151: Advice("the replication account is locked", "ALTER USER ... ACCOUNT UNLOCK on the source.", False),
    2003: Advice(
        "the source cannot be reached",
        "Check that the source runs and listens, and the network and firewall between the two.",
        True,
    ),
    2002: Advice("the source cannot be reached", "Check that the source runs and listens.", True),
    2013: Advice("the connection to the source was lost", "Check the source and the network between the two.", True),
    2005: Advice("the name of the source cannot be resolved", "Check name resolution on this replica.", True),
    2026: Advice(
        "TLS to the source failed",
        "Check the CA file of the channel, and that the source's certificate is valid and names the address used.",
        False,
    ),
    2061: Advice(
        "the account needs TLS or the source's public key (caching_sha2_password)",
        "Switch TLS on for the channel (SOURCE_SSL=1, preferred) or set GET_SOURCE_PUBLIC_KEY=1.",
        False,
    ),
    13114: _PURGED,
    1236: _PURGED,
    1593: Advice(
        "the receiver refuses this source",
        "Often the same server_id or server_uuid on both servers: give each its own (server_uuid: stop the server, "
        "delete auto.cnf in its data directory, start it).",
        False,
    ),
    13117: Advice(
        "the receiver refuses this source",
        "Often the same server_id or server_uuid on both servers: give each its own (server_uuid: stop the server, "
        "delete auto.cnf in its data directory, start it).",
        False,
    ),
    1872: Advice("the channel's stored settings cannot be read", "Configure the channel again.", False),
}
_SQL: dict[int, Advice] = {
    1062: Advice("a row that the source inserts exists here already", _DRIFT + ".", False),
    1032: Advice("a row that the source changes or deletes is missing here", _DRIFT + ".", False),
    1146: Advice("a table that the source writes to is missing here", _DRIFT + ".", False),
    1049: Advice("a database that the source writes to is missing here", _DRIFT + ".", False),
    1050: Advice("a table that the source creates exists here already", _DRIFT + ".", False),
    1051: Advice("a table that the source drops is missing here", _DRIFT + ".", False),
    1007: Advice("a database that the source creates exists here already", _DRIFT + ".", False),
    1008: Advice("a database that the source drops is missing here", _DRIFT + ".", False),
    1396: Advice("an account statement of the source cannot be repeated here", _DRIFT + ".", False),
    1950: Advice(
        "somebody wrote on this replica in the replicated domain (GTID strict mode)",
        "Find and revert the local write, make the server read-only, then rebuild it or set gtid_slave_pos with care.",
        False,
    ),
    1205: Advice("the applier waits for a lock", "Find the session that holds it, and end it.", True),
    1213: Advice("the applier met a deadlock", "It retries by itself; if it stopped, start the applier again.", True),
    1021: Advice("the disk is full", "Free space on the replica, then start the applier.", False),
    1114: Advice("a table or the disk is full", "Free space on the replica, then start the applier.", False),
    1290: Advice("the server's own option prevents the statement", "Read the message; usually read-only mode.", False),
}
_TABLE = re.compile(r"(?:Could not execute (\w+?)(?:_rows\w*)? event on|on query|on) table ([\w$`.\-]+)", re.I)
_DUPLICATE = re.compile(r"Duplicate entry '(.*?)' for key '([^']+)'")
_MISSING_ROW = re.compile(r"Can't find record in '([^']+)'")
_NO_TABLE = re.compile(r"Table '([^']+)' doesn't exist", re.I)
_CODE = re.compile(r"(?:Error_code: (?:MY-0*)?|Got fatal error |error code )(\d{3,5})|\((\d{4})\)$", re.I)
_ON_QUERY = re.compile(r"Error '(.+?)' on query", re.DOTALL)
_SECRET = re.compile(r"(\b(?:BY|AS|PASSWORD|USING)\b\s*\(?\s*)'(?:[^'\\]|\\.|'')*'", re.I)
_GTID = re.compile(r"failed executing transaction '([^']+)'|Gtid (\d+-\d+-\d+)")


def masked(message: str) -> str:
    """A server's message without the passwords and digests of the statement it quotes."""
    return _SECRET.sub(r"\1'********'", message)


class Trouble(NamedTuple):
    """An applier's error, taken apart."""

    errno: int
    table: str
    key: str
    gtid: str
    text: str


def applier_trouble(errno: int, message: str) -> Trouble:
    """The row or table an applier stopped at, as far as the message says."""
    code = _CODE.search(message)
    inner = int(next(g for g in code.groups() if g)) if code else 0
    found_table = _TABLE.search(message)
    table = found_table.group(2).rstrip(".") if found_table else ""
    what = ""
    duplicate, missing = _DUPLICATE.search(message), _MISSING_ROW.search(message)
    no_table = _NO_TABLE.search(message)
    if duplicate:
        what = f"duplicate entry {duplicate.group(1)!r} for key {duplicate.group(2)}"
    elif missing:
        what, table = "the row is missing", table or missing.group(1)
    elif no_table:
        what, table = "the table is missing", no_table.group(1)
    elif _ON_QUERY.search(message):
        what = _ON_QUERY.search(message).group(1)  # type: ignore[union-attr]
    gtid = _GTID.search(message)
    return Trouble(
        # The coordinator wraps the worker's error: the number inside says what happened.
        errno=inner if inner in _SQL or errno in {0, 13117} else errno,
        table=table,
        key=what,
        gtid=next((g for g in gtid.groups() if g), "") if gtid else "",
        text=what or message,
    )


def applier_advice(errno: int) -> Advice | None:
    """Advice on an error of the applier; None for a number that is not listed."""
    return _SQL.get(errno)


def receiver_advice(errno: int, message: str) -> Advice | None:
    """Advice on an error of the receiver, whose number alone may mean several things; None where there is none."""
    lower = message.lower()
    if errno in {1236, 13114} and re.search(
        r"more gtids than the|which is not in the (?:master|source)'s binlog", lower
    ):
        return _AHEAD
    if errno in {1236, 13114} and not re.search(
        r"purged|could not find (?:first|gtid|log)|obtain start position", lower
    ):
        if "server_uuid" in lower or "server_id" in lower or "same server" in lower:
            return _IO[1593]
        return Advice("the source ended the stream with an error", "Read the message: " + message, False)
    if errno in {2003, 2013, 1045, 2061, 2026}:
        return _IO[errno]
    if "certificate" in lower or "ssl connection error" in lower or "tls/ssl" in lower:
        return _IO[2026]
    return _IO.get(errno)
