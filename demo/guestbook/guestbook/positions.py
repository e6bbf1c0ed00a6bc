# SPDX-License-Identifier: GPL-3.0-or-later
"""Replication positions as clients carry them: MySQL GTID sets, MariaDB GTID lists, or `primary`."""

from __future__ import annotations

import re
from collections.abc import Iterable

PRIMARY = "primary"
"""Stands for a write whose position is not known or too long to carry: read from the primary."""

SHORT = 200
LIMIT = 512

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_INTERVAL = r"[0-9]{1,19}(?:-[0-9]{1,19})?"
_TAG = r"[a-z_][a-z0-9_]{0,31}"
_MYSQL_PART = rf"{_UUID}(?::(?:{_TAG}:)?{_INTERVAL})+"
_MARIADB_PART = r"[0-9]{1,10}-[0-9]{1,10}-[0-9]{1,20}"
_MYSQL = re.compile(rf"{_MYSQL_PART}(?:,{_MYSQL_PART})*")
_MARIADB = re.compile(rf"{_MARIADB_PART}(?:,{_MARIADB_PART})*")


def valid_position(text: str | None) -> str | None:
    """The position in a cookie or header, or None when it is anything but one."""
    if not text or len(text) > LIMIT:
        return None
    compact = "".join(text.split())
    if compact == PRIMARY or _MYSQL.fullmatch(compact) or _MARIADB.fullmatch(compact):
        return compact
    return None


def carried(executed: str | None) -> str | None:
    """A position short enough for a cookie as it is, `primary` for none at all, None when it must be shortened."""
    compact = "".join((executed or "").split())
    if not compact:
        return PRIMARY
    return compact if len(compact) <= SHORT else None


def shortened(executed: str, writers: Iterable[str]) -> str:
    """Only what the writing server (or its group) has written, or `primary` when that is long as well."""
    names = {name.lower() for name in writers if name}
    parts = "".join(executed.split()).split(",")
    own = ",".join(part for part in parts if part.partition(":")[0].lower() in names)
    return own if own and len(own) <= SHORT else PRIMARY
