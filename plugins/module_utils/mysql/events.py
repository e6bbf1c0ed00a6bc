# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduled events: which run on a server, and which wait as on a replica."""

from __future__ import annotations

from typing import Any

from .connection import Connection, quote

# State of an event that came from the source, as the versions of both engines write it.
WAITING = ("REPLICA_SIDE_DISABLED", "SLAVESIDE_DISABLED")
_EVENTS = "SELECT EVENT_SCHEMA AS s, EVENT_NAME AS n, DEFINER AS definer FROM information_schema.EVENTS WHERE "
_WAITING = f"{_EVENTS}STATUS IN (%s, %s)"
_RUNNING = f"{_EVENTS}STATUS = 'ENABLED'"


def enable(connection: Connection, wanted: list[dict[str, str]], dry: bool) -> list[str]:
    """Enable those of the events that wait; returns their names."""
    names = {(each["schema"], each["name"]) for each in wanted}
    found = [row for row in connection.rows(_WAITING, WAITING) if (row["s"], row["n"]) in names]
    return _alter(connection, found, "ENABLE", dry)


def stop(connection: Connection, dry: bool) -> list[str]:
    """Have every event that runs here wait as on a replica; returns their names."""
    found = connection.rows(_RUNNING)
    if found and not dry:
        connection.rows("SET SESSION sql_log_bin = OFF")
    return _alter(connection, found, connection.dialect["disable_event_here"], dry)


def _alter(connection: Connection, found: list[dict[str, Any]], words: str, dry: bool) -> list[str]:
    for row in found if not dry else []:
        # Without its definer, whoever runs the statement becomes it.
        user, _at, host = str(row["definer"]).rpartition("@")
        event = f"{quote(row['s'])}.{quote(row['n'])}"
        connection.rows(f"ALTER DEFINER = {quote(user)}@{quote(host)} EVENT {event} {words}")
    return [f"{row['s']}.{row['n']}" for row in found]
