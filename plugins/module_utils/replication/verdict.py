# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement: servers in, checks out. No connection, no clock, nothing but the given rows.

A rule says what it found (Finding); its severity, or the caller's override, decides what that means.
What could not be read is ``unknown``, never a pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator

from ..mysql.connection import DatabaseError
from ..mysql.gtid import GtidError, or_none
from .context import Context
from .measures import errant_now, lag_seconds, lost_text, missing, unrecoverable
from .model import Channel, describe, describe_channel, unapplied
from .rules import channel as channels
from .rules import data, group, primary, proof, server, settings
from .rules.registry import (
    CRITICAL,
    FAIL,
    INFO,
    PASS,
    SKIP,
    UNKNOWN,
    WARNING,
    Finding,
    Rule,
    failed,
    passed,
    unknown,
)

# In this order they are judged and shown.
_SUBJECTS = (settings, data, server, channels, primary, group, proof)
RULES: list[Rule] = [each for subject in _SUBJECTS for each in subject.RULES]
FAILING = {"critical": {"critical", "unknown"}, "warning": {"critical", "unknown", "warning"}, "never": set()}
_STATUS = {CRITICAL: FAIL, WARNING: "warn", INFO: "info"}
_ORDER = {INFO: 0, WARNING: 1, CRITICAL: 2}
# Judged last, from the checks of all the others.
PROMOTABLE = "promotable"
SEVERITIES = {**{rule.id: rule.severity for rule in RULES}, PROMOTABLE: CRITICAL}


@dataclass
class Verdict:
    """The checks on a server, and what follows from them."""

    checks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """One word for all checks."""
        statuses = {c["status"] for c in self.checks}
        blind = any(map(_blind, self.checks))
        if FAIL in statuses:
            return CRITICAL
        if blind:
            return UNKNOWN
        return WARNING if "warn" in statuses else "ok"

    @property
    def reasons(self) -> list[str]:
        """Why the verdict is not ok, the worst first."""
        return list(dict.fromkeys(c["id"] for c in self._against))

    @property
    def not_judged(self) -> list[str]:
        """What could not be read, whether that decides or not."""
        return list(dict.fromkeys(c["id"] for c in self.checks if c["status"] == UNKNOWN))

    @property
    def _against(self) -> list[dict[str, Any]]:
        return sorted((c for c in self.checks if c["status"] in {FAIL, "warn"} or _blind(c)), key=_rank)

    @property
    def hopeless(self) -> list[dict[str, Any]]:
        """What has failed and does not heal by waiting."""
        return [c for c in self.checks if c["status"] == FAIL and not c["can_heal"]]

    def summary(self, name: str) -> str:
        """One paragraph: which server, what is wrong, what to do; the worst first."""
        open_checks = self._against
        if self.verdict == "ok":
            return (
                f"ok: replication of {name} is right ({sum(c['status'] == PASS for c in self.checks)} checks passed)."
            )
        parts = []
        for check in open_checks[:3]:
            hint = f" {check['hint']}" if check["hint"] else ""
            parts.append(f"[{check['id']}] {check['message']}{hint}")
        more = len(open_checks) - len(parts)
        tail = f" And {more} more: {', '.join(c['id'] for c in open_checks[3:])}." if more > 0 else ""
        return f"{self.verdict}: {name}: {' '.join(parts)}{tail}"


def _blind(check: dict[str, Any]) -> bool:
    """Whether a rule that decides could not be judged."""
    return check["status"] == UNKNOWN and check["severity"] == CRITICAL


def _rank(check: dict[str, Any]) -> tuple[int, int]:
    return ({FAIL: 0, UNKNOWN: 1, "warn": 2}.get(check["status"], 3), -_ORDER.get(check["severity"], 0))


def _findings(ctx: Context) -> Iterator[tuple[Rule, Finding | None, str | None]]:
    for entry in RULES:
        if ctx.policy["checks"].get(entry.id) == SKIP:
            continue
        if not entry.per_channel:
            yield entry, _guarded(entry, ctx), None
            continue
        for channel in ctx.working_channels:
            yield entry, _guarded(entry, ctx, channel), channel.name


def _guarded(entry: Rule, *arguments: Any) -> Finding | None:
    try:
        return entry.function(*arguments)
    except GtidError as error:
        return unknown(str(error), "The server gave a GTID that cannot be read.")


def check_from(
    identifier: str, severity: str, finding: Finding, policy: dict[str, Any], **place: Any
) -> dict[str, Any]:
    """The check of a finding: the caller's severity, else the rule's own, else the lower one of the finding."""
    override = policy["checks"].get(identifier)
    severity = override or severity
    if finding.cap and not override and _ORDER[finding.cap] < _ORDER[severity]:
        severity = finding.cap
    return {
        "id": identifier,
        **place,
        "status": _STATUS[severity] if finding.status == FAIL else finding.status,
        "severity": severity,
        "observed": finding.observed,
        "expected": finding.expected,
        "message": finding.message,
        "hint": finding.hint,
        "can_heal": finding.heals,
    }


def judge(ctx: Context) -> Verdict:
    """Apply every rule that the policy does not skip."""
    verdict = Verdict()
    for entry, finding, channel in _findings(ctx):
        if finding is not None:
            place = {} if channel is None else {"channel": channel}
            verdict.checks.append(check_from(entry.id, entry.severity, finding, ctx.policy, **place))
    if ctx.policy["require_promotable"] and ctx.replica and ctx.policy["checks"].get(PROMOTABLE) != SKIP:
        finding = _promotable(promotion(ctx, verdict))
        verdict.checks.append(check_from(PROMOTABLE, SEVERITIES[PROMOTABLE], finding, ctx.policy))
    return verdict


_BLOCKS_PROMOTION = {
    "sql_thread", "errant", "filters", "binlog", "gtid_mode", "repl_account_here", "version_order", "delay",
    "lag_seconds", "lag_gtid", "apply_backlog", "purge_horizon", "compare", "disk_free", "table_definitions",
    "engines", "definers", "settings_alike", "certificate",
}  # fmt: skip
# These block a promotion even as a warning.
_BLOCKS_AS_WARNING = {"repl_account_here", "version_order", "delay", "lag_gtid", "apply_backlog"}


def promotion(ctx: Context, verdict: Verdict) -> dict[str, Any]:
    """Whether this replica could take over, by the checks that matter for that."""
    if not ctx.replica:
        return {"promotable": False, "blockers": [f"it is a {ctx.local.role.replace('_', ' ')}"], "warnings": []}
    relevant = [c for c in verdict.checks if c["id"] in _BLOCKS_PROMOTION]
    blockers = {
        c["id"] for c in relevant if c["status"] == FAIL or c["status"] == "warn" and c["id"] in _BLOCKS_AS_WARNING
    }
    warnings = {c["id"] for c in relevant if c["status"] in {"warn", UNKNOWN}}
    # A wanted delay is no fault, but what it holds back would be lost all the same.
    blockers |= _lacking(ctx)
    if or_none(missing, ctx) is None:
        # Nobody knows what the primary has.
        warnings.add("lag_gtid")
    return {"promotable": not blockers, "blockers": sorted(blockers), "warnings": sorted(warnings - blockers)}


def _lacking(ctx: Context) -> set[str]:
    """Rules by which more transactions are missing here than the limit allows."""
    limit = int(ctx.policy["max_lag_transactions"])
    gap = or_none(missing, ctx)
    found = {"lag_gtid"} if gap and gap[1] > limit else set()
    backlogs = [or_none(unapplied, ctx.local, channel) or 0 for channel in ctx.own_channels]
    return found | ({"apply_backlog"} if any(count > limit for count in backlogs) else set())


def _promotable(found: dict[str, Any]) -> Finding:
    if found["promotable"]:
        return passed(True, True, "The replica could take over.")
    message = f"This replica could not take over as primary because of: {', '.join(found['blockers'])}."
    return failed(found["blockers"], [], message, "Resolve these checks; each says how.", heals=False)


def report(ctx: Context, verdict: Verdict) -> dict[str, Any]:
    """Everything a caller gets back, except waiting and probing."""
    local = ctx.local
    result: dict[str, Any] = {
        "verdict": verdict.verdict,
        "coverage": coverage(ctx, verdict),
        "reasons": verdict.reasons,
        "not_judged": verdict.not_judged,
        "summary": verdict.summary(local.name),
        "checks": verdict.checks,
        **describe(local),
        "channels": [_with_lag(ctx, channel) for channel in local.channels],
        "primary": None,
        "gtid": _gtid_report(ctx),
        "promotion": promotion(ctx, verdict),
    }
    result["role"]["expected"] = ctx.policy["role"]
    if ctx.primary or ctx.primary_error:
        primary = ctx.primary
        result["primary"] = {
            "reachable": primary is not None,
            "gtid": primary.position if primary else None,
            "purged": primary.purged if primary else None,
            "dump_threads": [
                {"user": r.get("user"), "host": r.get("host"), "tls": _tls_of(r)}
                for r in (primary.snapshot.get("dump_threads") or [] if primary else [])
            ],
        }
    return result


def _tls_of(row: dict[str, Any]) -> bool | None:
    kind = row.get("connection_type")
    return None if kind is None else kind == "SSL/TLS"


def _with_lag(ctx: Context, channel: Channel) -> dict[str, Any]:
    seconds, source = or_none(lag_seconds, ctx, channel) or (None, "none")
    return {
        **describe_channel(ctx.local, channel),
        "lag": {
            "seconds": seconds,
            "source": source,
            "seconds_behind_raw": channel.seconds_behind,
            "applying_age_s": channel.applying_age,
        },
    }


def _gtid_report(ctx: Context) -> dict[str, Any]:
    # Where positions cannot be compared (the primary may be of the other engine), the rules report that.
    gap = or_none(missing, ctx) if ctx.replica else None
    found = ctx.errant if ctx.errant is not None else or_none(errant_now, ctx)
    lost = or_none(unrecoverable, ctx)
    return {
        "executed": ctx.local.position,
        "missing": gap[0] if gap else None,
        "missing_count": gap[1] if gap else None,
        "errant": None if found is None else str(found),
        "errant_count": None if found is None else found.count,
        "unrecoverable": None if lost is None else lost_text(lost),
    }


def coverage(ctx: Context, verdict: Verdict) -> str:
    """Full only where nothing was left unread and a replica was compared with its primary."""
    if any(c["status"] == UNKNOWN for c in verdict.checks):
        return "partial"
    return "full" if not ctx.replica or ctx.primary else "partial"


def unreachable(name: str, error: DatabaseError, policy: dict[str, Any]) -> dict[str, Any]:
    """The verdict on a server that cannot be queried."""
    finding = failed(error.errno, "a connection", error.message, error.hint)
    skipped = policy["checks"].get("connect") == SKIP
    verdict = Verdict([] if skipped else [check_from("connect", CRITICAL, finding, policy)])
    # Skipping this check makes no server ok of which nothing could be read.
    word = "unknown" if skipped else verdict.verdict
    return {
        "verdict": word,
        "coverage": "partial",
        "reasons": verdict.reasons,
        "not_judged": [],
        "summary": f"{word}: {name}: [connect] {error}",
        "checks": verdict.checks,
        "engine": None,
        "role": {"observed": None, "expected": policy["role"]},
        "channels": [],
        "primary": None,
        "gtid": None,
        "semi_sync": None,
        "promotion": {"promotable": False, "blockers": ["connect"], "warnings": []},
    }
