# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several rules and the report count: lag, missing, errant and lost transactions."""

from __future__ import annotations

from typing import Any

from ..mysql.gtid import GtidSet, MariadbGtid
from .context import Context
from .model import Channel, Server, as_float, unapplied
from .rules.registry import WARNING


def silence_limit(policy: dict[str, Any], channel: Channel) -> float:
    """Seconds after which a source that sends nothing is taken for silent."""
    given = policy["max_source_silence"]
    return float(given) if given else 2.5 * (channel.heartbeat_interval or 0) + 2


# Seconds by which the clocks of two servers may differ.
CLOCK_TOLERANCE = 1.0
AHEAD = "heartbeat in the future"


def lag_seconds(ctx: Context, channel: Channel) -> tuple[float | None, str]:
    """Time lag less the wanted delay, and where the figure is from."""
    beats = ctx.local.snapshot.get("heartbeat")
    if beats:
        ages = [as_float(b.get("age")) for b in beats]
        if ages and ages[0] is not None:
            # A stamp in the future says nothing about the past.
            if ages[0] < -CLOCK_TOLERANCE:
                return None, AHEAD
            return max(0.0, ages[0] - channel.delay), "heartbeat"
    if not channel.running:
        return None, "none"
    if channel.applying_age is not None and channel.applying_age >= -CLOCK_TOLERANCE:
        return max(0.0, channel.applying_age - channel.delay), "commit_timestamp"
    if channel.seconds_behind is None:
        return None, "none"
    if not ctx.local.mariadb and not unapplied(ctx.local, channel):
        return 0.0, "commit_timestamp"
    return max(0.0, channel.seconds_behind - channel.delay), "seconds_behind"


# So many times the limit of transactions is no longer a warning.
_FAR_BEHIND = 10


def backlog_cap(count: int, limit: int) -> str | None:
    """A backlog is a warning until it is far over the limit."""
    return None if count > _FAR_BEHIND * limit else WARNING


def missing(ctx: Context) -> tuple[str, int] | None:
    """What the primary has and this server has not: as text and as a number."""
    if ctx.local.mariadb:
        target = ctx.primary.snapshot.get("position") if ctx.primary else ctx.primary_gtid
        if not ctx.primary and not ctx.primary_gtid:
            return None
        gaps = MariadbGtid.parse(ctx.local.position).behind(MariadbGtid.parse(target or ""))
        return ", ".join(f"domain {d}: {n}" for d, n in sorted(gaps.items())), sum(gaps.values())
    if not ctx.primary and not ctx.primary_gtid:
        return None
    target = ctx.primary.executed if ctx.primary else ctx.primary_gtid
    gap = GtidSet.parse(target) - GtidSet.parse(ctx.local.executed)
    return str(gap), gap.count


def errant_now(ctx: Context) -> Any:
    """Transactions that are here and, by the rows at hand, not on the primary.

    Call it with a primary that was read *after* the local server; confirm with a later reading, because a
    semi-synchronous primary commits only after its replica may have applied.
    """
    if not ctx.replica or not (ctx.primary or ctx.primary_gtid):
        return None
    if ctx.local.mariadb:
        return _errant_of_mariadb(ctx, ctx.primary) if ctx.primary else None
    ignored = [str(u) for u in ctx.policy["ignore_errant_uuids"]]
    # What other sources sent is not errant, nor is what the own source committed since an older value was read.
    elsewhere = ctx.other_channels if ctx.primary else ctx.local.channels
    ignored += [c.source_uuid for c in elsewhere if c.source_uuid]
    there = GtidSet.parse(ctx.primary.executed if ctx.primary else ctx.primary_gtid)
    for channel in elsewhere:
        there = there | GtidSet.parse(channel.received)
    if ctx.primary:
        there = there | GtidSet.parse(ctx.primary.owned)
    return (GtidSet.parse(ctx.local.executed) - there).without_uuids(ignored)


def _errant_of_mariadb(ctx: Context, primary: Server) -> MariadbGtid:
    here, own = MariadbGtid.parse(ctx.local.executed), ctx.local.server_id or 0
    there = MariadbGtid.parse(primary.executed)
    position = MariadbGtid.parse(str(primary.snapshot.get("position") or ""))
    others = {c.source_server_id for c in ctx.other_channels}
    if others:
        domains = {*there.domains, *position.domains}
        # A domain that the primary does not have came from another source, unless it was written here.
        here = here.without(lambda domain, server: server != own and (server in others or domain not in domains))
    return here.foreign_to(there, position, own)


def unrecoverable(ctx: Context) -> Any | None:
    """What is missing here and already purged on the primary."""
    if not ctx.primary or not ctx.replica:
        return None
    if ctx.local.mariadb:
        oldest = ctx.primary.snapshot.get("oldest_binlog")
        if oldest is None:
            return None
        return MariadbGtid.parse(ctx.local.position).behind(MariadbGtid.parse(oldest.get("gtids") or ""))
    have = GtidSet.parse(ctx.local.executed)
    for channel in ctx.local.channels:
        have = have | GtidSet.parse(channel.received)
    return GtidSet.parse(ctx.primary.purged) - have


def lost_text(lost: Any) -> str:
    """Lost transactions as text, of either engine."""
    return str(lost) if isinstance(lost, GtidSet) else ", ".join(f"domain {d}: {n}" for d, n in lost.items())
