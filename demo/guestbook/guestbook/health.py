# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether both ways to the database work, found out within two seconds."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pymysql

from . import db
from .config import DatabaseUrl, Settings
from .migrate import applied_numbers, plan

TOTAL_SECONDS = 2.0
STEP_SECONDS = 1.0

log = logging.getLogger(__name__)


def readiness(settings: Settings, connect: db.Connect = db.open_connection) -> tuple[bool, dict[str, Any]]:
    """Probe both paths at the same time over fresh connections."""
    paths: dict[str, Any] = {"read_write": {"ok": False, "error": f"no answer within {TOTAL_SECONDS:g} s"}}
    urls = {"read_write": settings.primary}
    if settings.replica is None:
        paths["read_only"] = {"ok": True, "note": "DATABASE_REPLICA_URL is not set, reads use the read-write path"}
    else:
        paths["read_only"] = dict(paths["read_write"])
        urls["read_only"] = settings.replica

    results: dict[str, dict[str, Any]] = {}

    def probe(name: str, url: DatabaseUrl) -> None:
        results[name] = _probe(name, url, connect)

    # Daemon threads: one that hangs in a connection attempt neither delays the answer nor the end of the process.
    threads = [threading.Thread(target=probe, args=item, daemon=True) for item in urls.items()]
    deadline = time.monotonic() + TOTAL_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    paths.update(dict(results))
    return all(path["ok"] for path in paths.values()), paths


def _probe(name: str, url: DatabaseUrl, connect: db.Connect) -> dict[str, Any]:
    try:
        connection = connect(url, STEP_SECONDS, STEP_SECONDS)
        with connection, connection.cursor() as cursor:
            database, role = db.identity(cursor)
            missing = plan(applied_numbers(cursor))
    except pymysql.MySQLError as error:
        # The client learns the number only: the text names hosts and accounts.
        log.warning("readiness: the %s path failed: %s", name, error)
        return {"ok": False, "error": f"database error {db.code(error)}"}
    problem = ""
    if name == "read_write" and role != "primary":
        problem = "this server is read-only"
    elif missing:
        problem = "migrations missing: " + ", ".join(str(step.number) for step in missing)
    return {"ok": not problem, "database": database, "role": role, **({"error": problem} if problem else {})}
