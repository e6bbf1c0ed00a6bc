# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A planned change of the primary: the old one is closed, the new one opened, the others follow. One process does it.

It runs beside the old primary. If the new one dies on the way, this process lives and opens the old one again; if this
process dies, the old one stays closed. The new one is opened only while the old one is closed, and the old one is
opened again only when it is certain that the new one is not.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Mapping, Sequence

from ..mysql.connection import Connection, ConnectionOptions, DatabaseError, quote
from ..mysql.gtid import GtidError
from .channel import ChannelError, Manager
from .context import Context, policy_from
from .facts import Collector, gather
from .measures import lost_text, unrecoverable
from .model import Channel, Server, build, is_on
from .promotion import (
    Journal,
    OutcomeUnknown,
    PromotionError,
    Session,
    close,
    end,
    end_transactions,
    follow,
    frozen_position,
    is_closed,
    lacking,
    open_server,
    position,
    release,
    reopen,
    retire_channel,
    sessions,
    started_at,
    wait_applied,
    was_opened,
)
from .verifier import Verifier

SWITCHED, UNDONE, REFUSED, UNKNOWN = "switched", "undone", "refused", "unknown"
CHECK, CATCH_UP, END_TRANSACTIONS, CLOSE, END_SESSIONS = (
    "check", "catch up", "end transactions", "close", "end sessions",
)  # fmt: skip
FREEZE, APPLY, RETIRE, COMPARE, OPEN = "freeze", "apply", "retire", "compare", "open"
RELEASE, FOLLOW, REPOINT, VERIFY = "release", "follow", "repoint", "verify"
# In this order they are taken.
STEPS = (
    CHECK, CATCH_UP, END_TRANSACTIONS, CATCH_UP, CLOSE, END_SESSIONS, FREEZE, APPLY, RETIRE, COMPARE, OPEN, RELEASE,
    FOLLOW, REPOINT, VERIFY,
)  # fmt: skip
# Up to and including this one, everything can be put back.
LAST_REVERSIBLE = COMPARE
LOCK = "webstack_switchover"
# A transaction that has been open for longer than this is a long one, in seconds.
LONG_TRANSACTION = 1
# Blockers that go by themselves while a replica catches up.
_PASSING = {"lag_seconds", "lag_gtid", "apply_backlog"}
_FAILURES = (DatabaseError, ChannelError, PromotionError, GtidError)


@dataclass(frozen=True)
class Limits:
    """How long each part may take, in seconds."""

    max_lag: float = 0.5
    catch_up_timeout: float = 30
    transaction_timeout: float = 10
    lock_timeout: int = 2
    apply_timeout: float = 10
    # For the new primary to answer after the connection was lost while it was opened.
    answer_timeout: float = 15
    verify_timeout: float = 15


@dataclass(frozen=True)
class Node:
    """A database server under its name in the inventory, and the address at which the others reach it."""

    name: str
    host: str
    port: int
    options: ConnectionOptions


def _again(connection: Connection, action: Callable[[], None]) -> None:
    """Do something, in a new session if that of the connection was lost."""
    try:
        action()
    except DatabaseError as error:
        if not error.lost:
            raise
        connection.reopen()
        action()


class Refused(Exception):
    """The switchover was not begun; the text is one sentence with the remedy."""


@dataclass
class Switchover:
    """One planned change of the primary."""

    old: Node
    new: Node
    others: Sequence[Node] = ()
    replication_password: str | None = None
    limits: Limits = field(default_factory=Limits)
    # Users whose sessions are left alone, such as those of health checks.
    keep_users: Sequence[str] = ()
    on_step: Callable[[str], None] = lambda _name: None

    def __post_init__(self) -> None:
        self.journal = Journal(self.on_step)
        self.outcome = REFUSED
        self.position = ""
        self.ended_transactions: list[Session] = []
        self.ended_sessions: list[Session] = []
        self.without_writer = 0.0
        self.problems: list[str] = []
        # Events ran on the old primary, and their scheduler was stopped.
        self.scheduler_stopped = False
        self._channel = ""
        self._settings: dict[str, Any] = {}
        self._connections: dict[str, Connection] = {}
        self._closed_at: float | None = None

    # --- the whole --------------------------------------------------------------------------------------------------

    def plan(self) -> list[dict[str, str]]:
        """The steps in order, as check mode shows them."""
        nobody = ", ".join(each.name for each in self.others)
        servers = {
            **dict.fromkeys((END_TRANSACTIONS, CLOSE, END_SESSIONS, FREEZE, RELEASE, FOLLOW), self.old.name),
            **dict.fromkeys((CATCH_UP, APPLY, RETIRE, OPEN), self.new.name),
            REPOINT: nobody,
        }
        taken = [name for name in STEPS if name != REPOINT or nobody]
        return [{"name": name, "server": servers.get(name, f"{self.old.name}, {self.new.name}")} for name in taken]

    def run(self, check_mode: bool = False) -> None:
        """Check, and unless in check mode do it. Raises Refused or PromotionError; outcome tells how it ended."""
        try:
            with self._step(CHECK, f"{self.old.name}, {self.new.name}"):
                self._check()
            if check_mode:
                return
            with self._step(CATCH_UP, self.new.name):
                self._catch_up()
            with self._step(END_TRANSACTIONS, self.old.name):
                self._end_transactions()
            with self._step(CATCH_UP, self.new.name):
                self._catch_up()
            self._hand_over()
            self._settle()
        finally:
            for connection in self._connections.values():
                connection.close()

    def result(self) -> dict[str, Any]:
        """What is told of it afterwards."""
        return {
            "outcome": self.outcome,
            "old": self.old.name,
            "new": self.new.name,
            "steps": [each.as_dict() for each in self.journal.steps],
            "position": self.position,
            "seconds_without_writer": round(self.without_writer, 3),
            "ended_transactions": [each.as_dict() for each in self.ended_transactions],
            "ended_sessions": [each.as_dict() for each in self.ended_sessions],
            "scheduler_stopped": self.scheduler_stopped,
            "problems": self.problems,
        }

    @contextlib.contextmanager
    def _step(self, name: str, server: str) -> Iterator[None]:
        with self.journal.step(name, server):
            yield

    def _connection(self, node: Node) -> Connection:
        if node.name not in self._connections:
            self._connections[node.name] = Connection(node.options)
        return self._connections[node.name]

    # --- before anything is changed ---------------------------------------------------------------------------------

    def _check(self) -> None:
        try:
            old, new = self._connection(self.old), self._connection(self.new)
            if str(old.value("SELECT GET_LOCK(%s, 0) AS held", (LOCK,))) != "1":
                raise Refused(f"{self.old.name}: another switchover is under way; wait until it has ended.")
            self._check_old(old)
            self._check_new(new)
            self._check_others()
        except _FAILURES as error:
            raise Refused(f"{error} Nothing was changed.") from error

    def _check_old(self, connection: Connection) -> None:
        self._old_server = gather(connection)
        if self._old_server.channels:
            sources = ", ".join(each.source_host for each in self._old_server.channels)
            raise Refused(f"{self.old.name} is not the primary: it follows {sources}. Run this on the primary.")
        if not self._old_server.writable:
            raise Refused(
                f"{self.old.name} takes no writes, so there is nothing to hand over: run site.yml, which opens it or "
                "says why not."
            )

    def _check_new(self, connection: Connection) -> None:
        server, old = gather(connection), self._old_server
        name = self.new.name
        if server.mariadb != old.mariadb:
            raise Refused(
                f"{name} is another engine ({server.dialect.text}) than {self.old.name} ({old.dialect.text})."
            )
        if server.in_group or old.in_group:
            raise Refused(f"{name} is in a replication group, which chooses its primary itself: use group_replication.")
        leading = [each for each in server.channels if each.leads_to(old)]
        if not leading:
            sources = ", ".join(each.source_host for each in server.channels) or "nobody"
            raise Refused(f"{name} does not follow {self.old.name} but {sources}: name a server that follows it.")
        if server.writable:
            raise Refused(f"{name} follows {self.old.name} and takes writes: run site.yml first, which closes it.")
        self._channel = leading[0].name
        manager = Manager(connection, self._channel)
        self._settings = manager.current(*manager.read())
        self._judge()

    def _judge(self) -> None:
        """Refuse a new primary that is not healthy or could not take over; what passes by itself is waited for."""
        policy = policy_from({"role": "replica", "require_promotable": True, "inspect_tables": False})
        deadline = time.monotonic() + self.limits.catch_up_timeout
        with Verifier(self.new.options, policy, self.old.options, name=self.new.name) as verifier:
            while True:
                found = verifier.report(detail=False)
                blockers = set(found["promotion"]["blockers"])
                if found["verdict"] != "critical" and not blockers:
                    return
                passing = bool(blockers) and blockers <= _PASSING
                if not passing or time.monotonic() >= deadline:
                    raise Refused(f"{self.new.name} cannot take over: {found['summary']}")
                time.sleep(0.5)

    def _check_others(self) -> None:
        """Refuse if another replica lacks what the new primary has no more; one that does not answer is left out."""
        if not self.others:
            return
        collector = Collector(self._connection(self.new))
        new = build(collector.collect(detail=False, tables=False))
        reachable = []
        for node in self.others:
            try:
                connection = self._connection(node)
                other = build(Collector(connection).essentials())
            except DatabaseError as error:
                self.problems.append(f"{node.name} was left as it is, because it does not answer: {error}")
                continue
            lost = unrecoverable(Context(other, policy_from({"role": "replica"}), primary=new))
            if lost:
                raise Refused(
                    f"{node.name} lacks transactions that {self.new.name} has purged ({lost_text(lost)}): wait until "
                    f"it has caught up with {self.old.name}, or take it out of the group mysql."
                )
            reachable.append(node)
        self.others = reachable

    def _catch_up(self) -> None:
        """Wait until the new primary arrives within max_lag where the old one is; refuse if it does not come so far."""
        old, new = self._connection(self.old), self._connection(self.new)
        deadline = time.monotonic() + self.limits.catch_up_timeout
        while True:
            began = time.monotonic()
            try:
                wait_applied(new, position(old), max(deadline - began, self.limits.max_lag), self._channel)
            except _FAILURES as error:
                raise Refused(f"{error} {self._keep_lag()}") from error
            took = time.monotonic() - began
            if took <= self.limits.max_lag:
                return
            if time.monotonic() >= deadline:
                raise Refused(f"{self.new.name} is {took:.1f} s behind {self.old.name}. {self._keep_lag()}")
            time.sleep(0.1)

    def _keep_lag(self) -> str:
        return (
            f"Nothing was changed: repeat it when less is written, or give it more than catch_up_timeout = "
            f"{self.limits.catch_up_timeout:g} s."
        )

    def _end_transactions(self) -> None:
        try:
            self.ended_transactions = end_transactions(
                self._connection(self.old), LONG_TRANSACTION, self.limits.transaction_timeout, self.keep_users
            )
        except _FAILURES as error:
            raise Refused(f"{error} Nothing was changed.") from error

    # --- the critical section ---------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Close the old one and open the new one, or put everything back."""
        try:
            self._close()
            self._transfer()
            self._open()
        except OutcomeUnknown as error:
            self.outcome = UNKNOWN
            raise PromotionError(
                f"{error} {self.old.name} stays closed, because both would take writes otherwise: start "
                f"{self.new.name} and run site.yml, which finds out."
            ) from error
        except Exception as error:
            # Whatever it was: without this nobody would take writes.
            failed = self.journal.undo()
            self._count()
            self.outcome = UNDONE
            self.problems += failed
            rest = f"Not everything could be put back: {'; '.join(failed)}. Run site.yml." if failed else ""
            text = rest or f"Everything was put back, and {self.old.name} takes writes again."
            raise PromotionError(f"{error} {text}") from error

    def _close(self) -> None:
        old = self._connection(self.old)
        with self._step(CLOSE, self.old.name):
            self._closed_at = time.monotonic()
            self.journal.undo_with("take writes again", self._reopen)
            self._stop_scheduler(old)
            close(old, self.limits.lock_timeout)
        with self._step(END_SESSIONS, self.old.name):
            self.ended_sessions = end(old, sessions(old, self.keep_users))

    def _stop_scheduler(self, old: Connection) -> None:
        """Stop the events of MariaDB, which may write with more privileges than read_only holds back."""
        if old.dialect.mariadb and is_on(self._old_server.variables.get("event_scheduler")):
            old.rows("SET GLOBAL event_scheduler = OFF")
            self.scheduler_stopped = True

    def _reopen(self) -> None:
        old = self._connection(self.old)
        _again(old, self._take_writes)
        if self.scheduler_stopped:
            old.rows("SET GLOBAL event_scheduler = ON")
            self.scheduler_stopped = False

    def _take_writes(self) -> None:
        old = self._connection(self.old)
        # The health endpoint has a server that is closed wait for no replica that has gone.
        if is_on(self._old_server.setting("semi_sync_source_wait_alone")):
            old.rows(f"SET GLOBAL {quote(old.dialect['semi_sync_source_wait_alone'])} = ON")
        reopen(old)

    def _transfer(self) -> None:
        """Have the new one apply everything, and follow nobody."""
        old, new = self._connection(self.old), self._connection(self.new)
        with self._step(FREEZE, self.old.name):
            self.position = frozen_position(old)
        with self._step(APPLY, self.new.name):
            wait_applied(new, self.position, self.limits.apply_timeout, self._channel)
        with self._step(RETIRE, self.new.name):
            self.journal.undo_with(f"{self.new.name} follows {self.old.name} again", self._follow_again)
            retire_channel(new, self._channel, self.limits.apply_timeout)
        with self._step(COMPARE, f"{self.old.name}, {self.new.name}"):
            self._compare(old, new)

    def _compare(self, old: Connection, new: Connection) -> None:
        """Both must have the same transactions, and the old one must have got none since."""
        there, here = frozen_position(old), position(new)
        missing, extra = (lacking(*pair, old.dialect.mariadb) for pair in ((there, here), (here, there)))
        if missing or extra or not is_closed(old):
            raise PromotionError(
                f"{self.old.name} and {self.new.name} differ ({missing or extra or 'the old one takes writes'}): "
                "something writes with more privileges."
            )

    def _follow_again(self) -> None:
        new = self._connection(self.new)
        like, password = self._settings, self.replication_password
        _again(new, lambda: follow(new, self._channel, {}, template=like, password=password))

    def _open(self) -> None:
        new = self._connection(self.new)
        with self._step(OPEN, self.new.name):
            # It also shows that the connection is there, so that one lost before is no unknown outcome.
            session, start = int(new.value("SELECT CONNECTION_ID() AS id")), started_at(new)
            try:
                open_server(new)
            except OutcomeUnknown:
                self._find_out(session, start)
            self.journal.keep()
            self.outcome = SWITCHED
            self._count()

    def _find_out(self, session: int, start: int) -> None:
        """After the connection was lost: raises PromotionError if the new one is closed, OutcomeUnknown if unknown."""
        opened = was_opened(self.new.options, session, start, self.limits.answer_timeout)
        if opened is None:
            raise OutcomeUnknown(
                f"{self.new.name} was told to take writes and does not answer since, so it may take them."
            )
        self._connections.pop(self.new.name).close()
        if not opened:
            raise PromotionError(f"{self.new.name} was told to take writes, and has not done so.")

    def _count(self) -> None:
        if self._closed_at is not None:
            self.without_writer = time.monotonic() - self._closed_at

    # --- afterwards -------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Have the others follow the new primary. What fails here is told, and repaired by a later run."""
        old = self._connection(self.old)
        with self._step(RELEASE, self.old.name), self._told(self.old):
            # Administrators of MariaDB who wait for the lock would write as soon as it ends.
            end(old, sessions(old, self.keep_users))
            release(old)
        source = {"source_host": self.new.host, "source_port": self.new.port}
        with self._step(FOLLOW, self.old.name), self._told(self.old):
            follow(
                old,
                self._channel,
                source,
                template=self._settings,
                password=self.replication_password,
                demote=True,
            )
        for node in self.others:
            with self._step(REPOINT, node.name), self._told(node):
                self._repoint(node, source)
        with self._step(VERIFY, self.new.name):
            self._verify()

    @contextlib.contextmanager
    def _told(self, node: Node) -> Iterator[None]:
        """Note a failure, and go on."""
        try:
            yield
        except _FAILURES as error:
            self.problems.append(f"{node.name}: {error}")

    def _repoint(self, node: Node, source: Mapping[str, Any]) -> None:
        connection = self._connection(node)
        channel = self._leading(build(Collector(connection).essentials()), self._old_server)
        if channel is not None:
            follow(connection, channel.name, source)

    @staticmethod
    def _leading(server: Server, source: Server) -> Channel | None:
        return next((each for each in server.channels if each.leads_to(source)), None)

    def _verify(self) -> None:
        """Wait until everybody follows the new primary."""
        with self._told(self.new):
            new = gather(self._connection(self.new))
            if not new.writable:
                self.problems.append(f"{self.new.name} takes no writes any more.")
            waiting = [self.old, *self.others]
            deadline = time.monotonic() + self.limits.verify_timeout
            while waiting and time.monotonic() < deadline:
                waiting = [node for node in waiting if not self._follows(node, new)]
                if waiting:
                    time.sleep(0.1)
            self.problems += [
                f"{node.name} does not receive from {self.new.name} yet: {self._trouble(node)}" for node in waiting
            ]

    def _follows(self, node: Node, source: Server) -> bool:
        try:
            channel = self._leading(build(Collector(self._connection(node)).essentials()), source)
        except DatabaseError:
            return False
        return channel is not None and channel.running

    def _trouble(self, node: Node) -> str:
        try:
            server = build(Collector(self._connection(node)).essentials())
        except DatabaseError as error:
            return str(error)
        errors = [each.io_error or each.sql_error for each in server.channels]
        return "; ".join(filter(None, errors)) or "it has not connected yet"
