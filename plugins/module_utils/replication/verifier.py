# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a server and its primary and judges them: connections in, verdict out. Waits and probes on request."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any, Mapping, Sequence

from ..mysql.connection import Connection, ConnectionOptions, DatabaseError, quote
from ..mysql.gtid import GtidError, MariadbGtid, parse
from .accounts import accounts_of_interest
from .compare import Comparison
from .context import Context
from .facts import Collector, watch_receiver
from .history import History
from .measures import errant_now, silence_limit
from .model import ON, Channel, Server, build
from .rules.data import unlike, unlike_tables
from .rules.registry import SKIP
from .tables import ONLY_HERE, ONLY_THERE, describe_table, differences, named_differences, read_tables
from .verdict import FAILING, Verdict, judge, report, unreachable

_ERRANT_READINGS = 6
_ERRANT_PAUSE = 0.35
# How often, and for how many seconds, a replica is waited for before its tables are called different.
_TABLE_READINGS, _TABLE_WAIT = 3, 2.0
# So many tables are read again, and so many are described in full.
_MOST_TABLES, _MOST_NAMED = 100, 5


def confirmed_errant(context: Context, collector: Collector) -> Any:
    """Errant transactions that stay errant when the primary is read again.

    A replica may apply a transaction before the primary counts it as committed, so a first difference
    proves nothing.
    """
    try:
        found = errant_now(context)
        for _reading in range(_ERRANT_READINGS):
            if not found:
                break
            time.sleep(_ERRANT_PAUSE)
            collector.positions()
            found = errant_now(context)
    except GtidError:
        return None
    return found


def confirm_tables(context: Context, here: Connection, there: Connection) -> None:
    """Note in the context which tables differ even after the replica has reached what the primary had.

    A change of a table takes as long on the replica as it took on the primary, and until then they differ.
    """
    found = unlike_tables(context)
    context.differing = found
    if not found or not all(channel.running for channel in context.own_channels):
        return
    names, rest = list(found)[:_MOST_TABLES], list(found)[_MOST_TABLES:]
    wrong: dict[tuple[str, str], str] = {}
    apart: dict[tuple[str, str], str] = {}
    for reading in range(_TABLE_READINGS):
        if reading:
            time.sleep(_ERRANT_PAUSE)
        before = read_tables(there, names)
        context.comparable = _reached(here, there, _TABLE_WAIT)
        if not context.comparable:
            return
        now, after = read_tables(here, names), read_tables(there, names)
        moving, apart = differences(before, after), unlike(context, now, after)
        # What changes again and again may look the same before and after; it does not differ the same way thrice.
        wrong = {
            name: text
            for name, text in apart.items()
            if name not in moving and (not reading or wrong.get(name) == text)
        }
        if not apart and not moving:
            break
    context.comparable = bool(wrong) or not apart
    if not context.comparable:
        return
    confirmed = {name: _named(here, there, name, text) for name, text in list(wrong.items())[:_MOST_NAMED]}
    context.differing = {**wrong, **confirmed, **{name: found[name] for name in rest if wrong}}


def _reached(here: Connection, there: Connection, seconds: float) -> bool:
    """Whether the replica arrives, within these seconds, where the primary is now."""
    name = "gtid_current_pos" if there.dialect.mariadb else "gtid_executed"
    position = str(there.value(f"SELECT @@GLOBAL.{name} AS p")).replace("\n", "")
    with here.longer(seconds):
        return str(here.value(here.dialect["wait_gtid"], (position, seconds))) == "0"


def _named(here: Connection, there: Connection, name: tuple[str, str], text: str) -> str:
    """A difference with the columns and keys that differ."""
    if text in {ONLY_HERE, ONLY_THERE}:
        return text
    detail = named_differences(describe_table(here, *name), describe_table(there, *name))
    return f"{text}: {detail}" if detail else text


class Verifier:
    """One server, and its primary where it can be reached."""

    def __init__(
        self,
        options: ConnectionOptions,
        policy: dict[str, Any],
        primary_options: ConnectionOptions | None = None,
        primary_gtid: str = "",
        name: str = "",
        heartbeat_table: str = "",
        source_silence_wait: float | None = None,
        max_transaction_age: int = 60,
    ) -> None:
        self.options, self.primary_options = options, primary_options
        self.policy, self.primary_gtid = policy, primary_gtid
        self.name = name
        self.heartbeat_table = heartbeat_table
        self.source_silence_wait = source_silence_wait
        self.max_transaction_age = max_transaction_age
        self.probe_result: dict[str, Any] | None = None
        self.compare_result: dict[str, Any] | None = None
        # What the primary had when it was read last.
        self.primary_history: History | None = None
        self._open: dict[str, Connection] = {}

    def connection(self, which: str = "local") -> Connection:
        """The connection to the server itself or to its primary, opened when it is first needed."""
        if which not in self._open:
            options = self.options if which == "local" else self.primary_options
            if options is None:
                raise DatabaseError("There is no connection to a primary.")
            self._open[which] = Connection(options)
        return self._open[which]

    def drop(self, which: str) -> None:
        """Close one connection, so that the next use opens a new one."""
        found = self._open.pop(which, None)
        if found:
            found.close()

    def close(self) -> None:
        """Close all connections."""
        for which in list(self._open):
            self.drop(which)

    def __enter__(self) -> Verifier:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def judge(self, detail: bool = True, listen: bool = True) -> tuple[Context, Verdict]:
        """Read both servers and judge. The replica is read first, so that the primary can only be ahead."""
        try:
            collector = Collector(self.connection())
            tables = detail and bool(self.policy["inspect_tables"])
            collector.collect(detail=detail, max_transaction_age=self.max_transaction_age, tables=tables)
        except DatabaseError:
            self.drop("local")
            raise
        local = build(collector.snapshot, self.name or self._own_name(collector))
        if self.policy["checks"].get("repl_account_here") != SKIP:
            collector.accounts(accounts_of_interest(local))
        context = Context(local, self.policy, primary_gtid=self.primary_gtid, probe=self.probe_result,
                          compare=self.compare_result)  # fmt: skip
        if self.primary_options:
            self._read_primary(context, collector.connection, tables)
        if self.heartbeat_table:
            source = context.primary.server_id if context.primary else None
            if source is None and local.channels:
                source = local.channels[0].source_server_id
            collector.heartbeat(self.heartbeat_table, source)
        if listen:
            self._listen(collector, context)
        return context, judge(context)

    def _own_name(self, collector: Collector) -> str:
        """The name of the host in place of a socket path, which is the same on every host."""
        variables = collector.snapshot.get("variables") or {}
        own = str(variables.get("hostname") or "") if self.options.unix_socket else ""
        return own or self.options.where

    def _read_primary(self, context: Context, here: Connection, tables: bool) -> None:
        try:
            collector = Collector(self.connection("primary"))
            collector.collect(detail=False)
            if self.policy["checks"].get("repl_account") != SKIP:
                collector.accounts(c.source_user for c in context.local.channels)
            context.primary = build(collector.snapshot, f"the primary {collector.connection.where}")
            self.primary_history = History.of(context.primary)
            if context.primary.mariadb == context.local.mariadb:
                context.errant = confirmed_errant(context, collector)
                if tables and context.replica and self.policy["checks"].get("table_definitions") != SKIP:
                    collector.tables()
                    confirm_tables(context, here, collector.connection)
        except DatabaseError as error:
            self.drop("primary")
            context.primary = None
            context.primary_error = f"The primary cannot be queried: {error.message}"

    def _listen(self, collector: Collector, context: Context) -> None:
        """Watch receivers whose last message is not shown; a caught-up position makes that unnecessary."""
        running = unheard_channels(context.local, self.policy)
        if not running:
            return
        if self.source_silence_wait is None and context.primary and context.primary.mariadb and _level(context):
            quiet = {c.name: 0.0 for c in running}
        else:
            wanted = self.source_silence_wait
            limit = max(silence_limit(self.policy, c) for c in running) + 0.3 if wanted is None else wanted
            quiet = watch_receiver(collector, limit)
        collector.snapshot["quiet_for"] = quiet
        for channel in running:
            channel.since_last_message = quiet.get(channel.name)

    def report(self, detail: bool = True) -> dict[str, Any]:
        """The whole result; a server that cannot be queried gets a verdict, too."""
        try:
            context, verdict = self.judge(detail)
        except DatabaseError as error:
            return unreachable(self.name or self.options.where, error, self.policy)
        return report(context, verdict)

    # --- probe ------------------------------------------------------------------------------------------------------

    def probe(self, timeout: float) -> dict[str, Any]:
        """Write a heartbeat on the primary and time it until it is visible here."""
        self.probe_result = {"ok": False, "latency_ms": None, "error": ""}
        try:
            self.probe_result.update(self._probe(timeout))
        except DatabaseError as error:
            text = str(error)
            if error.errno == 1146:
                text += (
                    f" Create it on the primary: CREATE TABLE {self.heartbeat_table} "
                    "(ts varchar(26) NOT NULL, server_id int unsigned NOT NULL PRIMARY KEY);"
                )
            elif error.denied:
                text += f" GRANT SELECT, INSERT, UPDATE ON {self.heartbeat_table} TO the account on the primary."
            self.probe_result["error"] = f"The probe failed: {text}"
        return self.probe_result

    def _probe(self, timeout: float) -> dict[str, Any]:
        primary = self.connection("primary")
        schema, _dot, name = self.heartbeat_table.partition(".")
        table = f"{quote(schema)}.{quote(name)}"
        number = primary.value("SELECT @@GLOBAL.server_id AS id")
        stamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
        earlier = self._beat(table, number)
        began = time.monotonic()
        primary.rows(
            f"INSERT INTO {table} (ts, server_id) VALUES (%s, %s) ON DUPLICATE KEY UPDATE ts = %s",
            (stamp, number, stamp),
        )
        written = time.monotonic()
        while True:
            arrived = self._beat(table, number)
            waited = time.monotonic() - began
            # A later row of another writer counts, too; the one that was here before does not, whatever its stamp.
            if arrived != earlier and arrived >= stamp:
                return {
                    "ok": True,
                    "latency_ms": round(waited * 1000, 1),
                    "write_ms": round((written - began) * 1000, 1),
                }
            if waited > timeout:
                return {"error": f"A row written on the primary {waited:.1f} s ago has not arrived here."}
            time.sleep(min(0.002 + waited / 20, 0.2))

    def _beat(self, table: str, number: Any) -> str:
        """The heartbeat that has arrived here; empty if there is none."""
        try:
            found = self.connection().value(f"SELECT ts FROM {table} WHERE server_id = %s", (number,))
        except DatabaseError as error:
            if error.errno not in {1146, 1049}:
                raise
            found = None
        return "" if found is None else str(found)

    def compare(self, schemas: Sequence[str], seconds: float, chunk_rows: int) -> dict[str, Any]:
        """Compare the data of these schemas with the primary."""
        try:
            comparison = Comparison(self.connection("primary"), self.connection(), seconds, chunk_rows)
            self.compare_result = comparison.run(schemas)
        except DatabaseError as error:
            self.compare_result = {"error": f"Nothing was compared: {error}", "complete": False}
        return self.compare_result

    # --- wait -------------------------------------------------------------------------------------------------------

    def wait(self, kind: str, target: str, timeout: float, interval: float, fail_on: str) -> dict[str, Any]:
        """Wait until healthy or caught up; give up at once where waiting cannot help."""
        began = time.monotonic()
        outcome: dict[str, Any] = {"reached": False, "attempts": 0, "target": None, "last": ""}
        fixed: str | None = None
        while True:
            outcome["attempts"] += 1
            try:
                context, verdict = self.judge(detail=False, listen=kind == "healthy")
                if kind == "caught_up" and fixed is None:
                    fixed = outcome["target"] = self._target(context, target)
                outcome["reached"], outcome["last"] = self._reached(kind, context, verdict, fixed, interval, fail_on)
                hopeless = verdict.hopeless
                if kind == "caught_up":
                    hopeless = [c for c in hopeless if c["id"] in _STOPS_CATCHING_UP]
                if outcome["reached"] or hopeless:
                    if hopeless and not outcome["reached"]:
                        outcome["last"] = f"waiting cannot help: {hopeless[0]['id']}"
                    break
            except DatabaseError as error:
                outcome["last"] = str(error)
                if error.errno in {1045, 1698} or "not installed" in error.message:
                    break
            if time.monotonic() - began >= timeout:
                break
            if kind == "healthy" or fixed is None:
                time.sleep(max(0.0, min(interval, timeout - (time.monotonic() - began))))
        outcome["elapsed_s"] = round(time.monotonic() - began, 3)
        return outcome

    @staticmethod
    def _target(context: Context, target: str) -> str:
        if target != "primary_now":
            wanted = target
        elif context.primary:
            wanted = context.primary.position
        elif context.primary_gtid:
            wanted = context.primary_gtid
        else:
            raise DatabaseError(context.primary_error or "There is no primary to take the position from.")
        try:
            parse(wanted, context.d.flavor)
        except GtidError as error:
            raise DatabaseError(f"wait_target: {error}") from error
        return wanted

    def _reached(
        self, kind: str, context: Context, verdict: Verdict, target: str | None, interval: float, fail_on: str
    ) -> tuple[bool, str]:
        if kind == "healthy":
            return verdict.verdict not in (FAILING[fail_on] or FAILING["critical"]), ", ".join(verdict.reasons)
        wanted = parse(target or "", context.d.flavor)
        here = parse(context.local.position, context.d.flavor)
        gap = here.behind(wanted) if isinstance(here, MariadbGtid) else wanted - here  # type: ignore[operator,arg-type]
        if not gap:
            return True, ""
        if any(c.sql_state == "on" for c in context.local.channels):
            connection = self.connection()
            with connection.longer(interval):
                arrived = connection.value(context.d["wait_gtid"], (target, max(interval, 0.1)))
            if str(arrived) == "0" or (context.d.mariadb and str(arrived) != "-1"):
                return True, ""
        else:
            time.sleep(interval)
        return False, f"missing: {gap}"


_STOPS_CATCHING_UP = {"io_thread", "sql_thread", "purge_horizon", "role"}


def unheard_channels(server: Server, policy: Mapping[str, Any]) -> list[Channel]:
    """Connected channels for which the server shows no time of the last message."""
    if policy["checks"].get("source_silent") == SKIP or server.denied("connection_status"):
        return []
    return [c for c in server.channels if c.io_state == ON and c.since_last_message is None and c.heartbeat_interval]


def _level(context: Context) -> bool:
    """MariaDB: the replica has received all that its primary had when that was read (after the replica)."""
    primary = context.primary
    if primary is None:
        return False
    target = MariadbGtid.parse(str(primary.snapshot.get("binlog_pos") or ""))
    received = MariadbGtid.parse(
        ",".join(filter(None, [*(c.received for c in context.local.channels), context.local.position]))
    )
    return not received.behind(target)
