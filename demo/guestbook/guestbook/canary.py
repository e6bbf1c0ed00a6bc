# SPDX-License-Identifier: GPL-3.0-or-later
"""A row per web node that is written on purpose and read back, to prove that writes reach the replicas."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pymysql

from . import db
from .store import Unavailable

TOKEN = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True)
class Canary:
    """What a server holds of every node's canary, and which server that was."""

    database: str
    role: str
    tokens: dict[str, str]


def write(primary: db.Endpoint, node: str, token: str) -> str:
    """Replace the node's canary; returns the name of the server that took it."""

    def replace(cursor: Any) -> str:
        cursor.execute("REPLACE INTO canary (node, token, written_at) VALUES (%s, %s, UTC_TIMESTAMP(6))", (node, token))
        return db.identity(cursor)[0]

    try:
        return primary.run(replace)
    except pymysql.MySQLError as error:
        raise Unavailable from error


def read(endpoint: db.Endpoint) -> Canary:
    """All canaries, as the server behind the endpoint has them."""
    try:
        return endpoint.run(_select)
    except pymysql.MySQLError as error:
        raise Unavailable from error


def _select(cursor: Any) -> Canary:
    database, role = db.identity(cursor)
    cursor.execute("SELECT node, token FROM canary")
    return Canary(database, role, dict(cursor.fetchall()))
