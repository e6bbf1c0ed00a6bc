# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The single acts by which the role of the primary moves: close, wait, retire, open, follow. Every wait is bounded.

Each act works on one open session and raises DatabaseError, ChannelError or PromotionError. Which act comes when, and
what is undone if one fails, is for who calls them; a Journal keeps both.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Iterator, Mapping

from ..mysql.connection import Connection, ConnectionOptions, DatabaseError
from ..mysql.gtid import GtidSet, MariadbGtid
from .channel import ChannelError, Manager
from .facts import long_transactions
from .model import OFF, Channel

# Errors of the server: a lock was not granted in time; a thread is not there any more.
LOCK_TIMEOUT, NO_SUCH_THREAD = 1205, 1094
# Those that the driver reports: the server did not answer.
CLIENT_ERRORS = range(2000, 3000)
# So long one wait for transactions lasts before the applier is checked again.
WAIT_SLICE = 0.5
# So many times old transactions are ended once their time is over.
END_ROUNDS = 10
# Seconds between two readings of a position that has to stand still.
STILL = 0.01
_INTERNAL_USERS = {"system user", "event_scheduler", "unauthenticated user"}


class PromotionError(Exception):
    """An act failed or would lose data; the text is one sentence."""


class OutcomeUnknown(PromotionError):
    """The connection was lost after the statement was sent: nobody knows whether the server takes writes now."""


@dataclass
class Step:
    """One step as it is reported: its name, the server, when it began, how long it took."""

    name: str
    server: str
    began: float
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The step as a result of a module has it; times are seconds since the first step began."""
        return {
            "name": self.name,
            "server": self.server,
            "at": round(self.began, 3),
            "seconds": round(self.seconds, 3),
        }


def _now() -> float:
    """The time by the clock that never goes back."""
    return time.monotonic()


@dataclass
class Journal:
    """The steps that were taken, and what puts back their effects. Every step is told to on_step before it begins."""

    on_step: Callable[[str], None] = lambda _name: None
    steps: list[Step] = field(default_factory=list)
    _undo: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    _origin: float = field(default_factory=_now)

    @contextlib.contextmanager
    def step(self, name: str, server: str) -> Iterator[Step]:
        """Take one step."""
        now = Step(name, server, time.monotonic() - self._origin)
        self.steps.append(now)
        self.on_step(name)
        try:
            yield now
        finally:
            now.seconds = time.monotonic() - self._origin - now.began

    def undo_with(self, what: str, action: Callable[[], None]) -> None:
        """Note what puts the last step back."""
        self._undo.append((what, action))

    def keep(self) -> None:
        """Put nothing back from here on."""
        self._undo.clear()

    def undo(self) -> list[str]:
        """Put everything back; returns what could not be.

        The first thing comes first: a server that was closed has to take writes again before anything else is done.
        """
        failed = []
        for what, action in self._undo:
            try:
                with self.step(f"undo: {what}", ""):
                    action()
            except (DatabaseError, ChannelError, PromotionError) as error:
                failed.append(f"{what}: {error}")
        self._undo.clear()
        return failed


# --- taking no writes -----------------------------------------------------------------------------------------------


def close(server: Connection, lock_timeout: int, *, goes_on: bool = True) -> None:
    """Let a server take no writes, within lock_timeout seconds or not at all.

    A server that waits longer for its running statements holds up every new one, so it gives up and goes on as before;
    with goes_on = False one of MariaDB then stays read-only, because another server takes writes.
    """
    server.rows("SET SESSION lock_wait_timeout = %s", (lock_timeout,))
    try:
        with server.longer(lock_timeout):
            if not server.dialect.mariadb:
                server.rows("SET GLOBAL super_read_only = ON")
                return
            server.rows("SET GLOBAL read_only = ON")
            try:
                # Accounts with READ ONLY ADMIN are held back by this lock alone; it ends with the session.
                server.rows("FLUSH TABLES WITH READ LOCK")
            except DatabaseError:
                if goes_on:
                    server.rows("SET GLOBAL read_only = OFF")
                raise
    except DatabaseError as error:
        if error.errno != LOCK_TIMEOUT:
            raise
        raise PromotionError(
            f"{server.where} could not be closed within {lock_timeout} s, because of {_busy(server)}: end that, or "
            "give it more time, and repeat."
        ) from error


def release(server: Connection) -> None:
    """Give up the lock by which close holds back administrators of MariaDB; the server stays read-only."""
    if server.dialect.mariadb:
        server.rows("UNLOCK TABLES")


def reopen(server: Connection) -> None:
    """Let a server that close has closed take writes again."""
    release(server)
    server.rows("SET GLOBAL read_only = OFF")


def _busy(server: Connection) -> str:
    """Who probably holds the lock: sessions that run a statement, else those that hold tables of which nobody knows."""
    running = [each for each in sessions(server) if each.command not in {"Sleep", ""}]
    if not running:
        return "a session that has locked tables or left a transaction prepared"
    return "; ".join(map(str, running[:3]))


# --- sessions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """A session of a client, or a transaction of one."""

    number: int
    user: str
    host: str
    command: str = ""
    seconds: int = 0
    statement: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The session as a result of a module has it."""
        return {
            "id": self.number,
            "user": self.user,
            "host": self.host,
            "seconds": self.seconds,
            "statement": self.statement,
        }

    def __str__(self) -> str:
        doing = f": {self.statement}" if self.statement else ""
        return f"session {self.number} of {self.user}@{self.host}{doing}"


def sessions(server: Connection, keep: Iterable[str] = ()) -> list[Session]:
    """Sessions of clients: not this one, not the server's own threads, not replicas, not those of the users in keep."""
    own = str(server.value("SELECT CONNECTION_ID() AS id"))
    spared = _INTERNAL_USERS | set(keep)
    return [
        Session(
            int(row["Id"]),
            str(row["User"]),
            str(row.get("Host") or ""),
            str(row["Command"]),
            int(row.get("Time") or 0),
            str(row.get("Info") or ""),
        )
        for row in server.rows("SHOW PROCESSLIST")
        if str(row["Id"]) != own
        and row["User"] not in spared
        and not str(row["Command"]).startswith(("Binlog Dump", "Daemon"))
    ]


def end(server: Connection, ended: Iterable[Session]) -> list[Session]:
    """End these sessions; returns those that were still there."""
    found = []
    for session in ended:
        try:
            server.rows("KILL %s", (session.number,))
            found.append(session)
        except DatabaseError as error:
            if error.errno != NO_SUCH_THREAD:
                raise
    return found


def open_transactions(server: Connection, seconds: int, keep: Iterable[str] = ()) -> list[Session]:
    """Transactions of clients that have been open for longer than these seconds."""
    # One that was ended may take long to be rolled back, and holds nobody up.
    clients = {each.number: each for each in sessions(server, keep) if each.command != "Killed"}
    return [
        Session(each.number, each.user, each.host, "Transaction", int(row["age"] or 0), str(row["query"] or ""))
        for row in long_transactions(server, seconds)
        for each in [clients.get(int(row["thread"] or 0))]
        if each is not None
    ]


def end_transactions(server: Connection, seconds: int, patience: float, keep: Iterable[str] = ()) -> list[Session]:
    """Give open transactions some time to end, and end the sessions of those that have not; returns these."""
    deadline = time.monotonic() + patience
    ended: list[Session] = []
    rounds = 0
    while True:
        found = open_transactions(server, seconds, keep)
        # Where clients begin new ones all the time, some are always old enough.
        if not found or rounds == END_ROUNDS:
            return ended
        if time.monotonic() >= deadline:
            # The server lists the oldest few alone, so there may be more after these.
            ended += end(server, found)
            rounds += 1
        time.sleep(0.2)


# --- positions ------------------------------------------------------------------------------------------------------


def position(server: Connection) -> str:
    """What a server has executed, in the notation of its engine."""
    name = "gtid_current_pos" if server.dialect.mariadb else "gtid_executed"
    return _line(server.value(f"SELECT @@GLOBAL.{name} AS position"))


def frozen_position(server: Connection, patience: float = 2.0) -> str:
    """The position of a closed server, once it stands still and nothing is about to be committed."""
    deadline = time.monotonic() + patience
    before = None
    while True:
        now = _reading(server)
        if now == before and not now[1]:
            return now[0]
        if time.monotonic() >= deadline:
            raise PromotionError(
                f"{server.where} takes no writes and its position still moves ({now[0] or 'empty'}): something with "
                "more privileges writes there."
            )
        before = now
        time.sleep(STILL)


def _reading(server: Connection) -> tuple[str, str]:
    """The position, and what sessions are about to commit, which MariaDB does not show."""
    if server.dialect.mariadb:
        return position(server), ""
    row = server.one("SELECT @@GLOBAL.gtid_owned AS owned, @@GLOBAL.gtid_executed AS position")
    return _line(row["position"]), _line(row["owned"])


def lacking(wanted: str, has: str, mariadb: bool) -> str:
    """What of a position the other one has not reached, as text; empty for nothing. Raises GtidError."""
    if mariadb:
        behind = MariadbGtid.parse(has).behind(MariadbGtid.parse(wanted))
        return ", ".join(f"{count} of domain {domain}" for domain, count in sorted(behind.items()))
    return str(GtidSet.parse(wanted) - GtidSet.parse(has))


def wait_applied(server: Connection, wanted: str, seconds: float, name: str = "") -> None:
    """Wait until a replica has applied up to a position; give up at once if its applier has stopped."""
    deadline = time.monotonic() + seconds
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        if not wanted or _reached(server, wanted, min(WAIT_SLICE, left)):
            return
        channel = _channel(server, name)
        if channel.sql_state == OFF or channel.sql_errno or channel.worker_errors:
            raise PromotionError(f"{server.where} does not apply any more ({_applier_error(channel)}).")
        if time.monotonic() >= deadline:
            missing = lacking(wanted, position(server), server.dialect.mariadb)
            raise PromotionError(f"{server.where} has not applied {missing} within {seconds:g} s.")


def _reached(server: Connection, wanted: str, seconds: float) -> bool:
    with server.longer(seconds):
        return str(server.value(server.dialect["wait_gtid"], (wanted, seconds))) == "0"


def _channel(server: Connection, name: str) -> Channel:
    _server, channel = Manager(server, name).read()
    if channel is None:
        raise PromotionError(f"{server.where} follows nobody any more.")
    return channel


def _applier_error(channel: Channel) -> str:
    if channel.worker_errors:
        return "{}: {}".format(*channel.worker_errors[0])
    return f"{channel.sql_errno}: {channel.sql_error}" if channel.sql_errno else "its applier is stopped"


def apply_received(server: Connection, name: str, seconds: float) -> str:
    """Stop the receiver of a replica and wait until all that it has received is applied; returns the position then."""
    manager = Manager(server, name)
    manager.stop_receiver()
    wait_applied(server, _channel(server, name).received, seconds, name)
    return position(server)


# --- changing roles -------------------------------------------------------------------------------------------------


def retire_channel(server: Connection, name: str, patience: float) -> dict[str, Any]:
    """Let a replica follow nobody, once all that it received is applied; returns the settings that the channel had."""
    manager = Manager(server, name)
    found, channel = manager.read()
    settings = manager.current(found, channel)
    manager.remove(force=False, patience=patience)
    return settings


def open_server(server: Connection) -> None:
    """Let a server take writes. Raises OutcomeUnknown unless the server itself answered."""
    try:
        # MySQL lifts super_read_only with it.
        server.rows("SET GLOBAL read_only = OFF")
    except Exception as error:
        if isinstance(error, DatabaseError) and error.errno and error.errno not in CLIENT_ERRORS:
            raise
        raise OutcomeUnknown(f"{server.where} was told to take writes, and its answer was lost: {error}") from error


def was_opened(options: ConnectionOptions, session: int, start: int, seconds: float) -> bool | None:
    """Whether a server takes writes after the session that told it so was lost; None if that cannot be found out.

    A server that has been started since is read-only. On one that has not, the statement may still be under way, so
    its session has to be gone before the answer counts.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(DatabaseError), Connection(options) as server:
            if started_at(server) > start + 1 or end_of(server, session):
                return not is_closed(server)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.2)


def end_of(server: Connection, session: int) -> bool:
    """End a session; returns whether it is gone already."""
    try:
        server.rows("KILL %s", (session,))
    except DatabaseError as error:
        if error.errno == NO_SUCH_THREAD:
            return True
        raise
    return False


def started_at(server: Connection) -> int:
    """When the server was started, by its own clock, in seconds since 1970; two readings may differ by 1."""
    now = int(server.value("SELECT UNIX_TIMESTAMP() AS now"))
    row = server.one("SHOW GLOBAL STATUS WHERE Variable_name = 'Uptime'")
    return now - int(row["Value"])


def is_closed(server: Connection) -> bool:
    """Whether ordinary accounts may not write."""
    return str(server.value("SELECT @@GLOBAL.read_only AS closed")).upper() not in {"0", "OFF"}


def follow(
    server: Connection,
    name: str,
    changes: Mapping[str, Any],
    *,
    template: Mapping[str, Any] | None = None,
    password: str | None = None,
    demote: bool = False,
) -> None:
    """Point the channel of a server at a source and start it.

    A channel that is there keeps what is not in changes; a new one takes it from template, the settings of another.
    demote: a former primary of MariaDB begins at the position of its own binary log.
    """
    manager = Manager(server, name)
    found, channel = manager.read()
    wanted = {**(manager.current(found, channel) or template or {}), **changes}
    manager.configure(wanted, password, None, demote)
    manager.start()


def _line(value: Any) -> str:
    """A position without the line breaks that MySQL puts between its parts."""
    return str(value or "").replace("\n", "")
