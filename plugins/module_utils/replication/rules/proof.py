# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what was tried: a row that was written on the primary, and data that was compared."""

from __future__ import annotations

from ..context import Context
from .registry import CRITICAL, Finding, Rule, failed, into, passed, unknown

RULES: list[Rule] = []
rule = into(RULES)


@rule("probe", CRITICAL, "A row written on the primary arrives here")
def _probe(ctx: Context) -> Finding | None:
    if ctx.probe is None:
        return None
    limit = float(ctx.policy["max_lag"])
    if ctx.probe.get("ok"):
        latency = ctx.probe.get("latency_ms")
        return passed(latency, f"<= {limit * 1000:g} ms", f"A row written on the primary arrived in {latency} ms.")
    hint = "Replication does not carry data right now, whatever the status rows say."
    return failed(None, f"<= {limit * 1000:g} ms", str(ctx.probe.get("error")), hint)


@rule("compare", CRITICAL, "The data here equals the data of the primary")
def _compare(ctx: Context) -> Finding | None:
    if ctx.compare is None:
        return None
    result = ctx.compare
    if result.get("error"):
        return unknown(str(result["error"]), "Nothing is said about the data that was not compared.")
    different = result.get("different") or []
    if not different:
        message = f"{result.get('tables', 0)} table(s), {result.get('rows', 0)} row(s) are equal."
        if result.get("complete", True) and not result.get("inconclusive"):
            return passed(result.get("tables"), "equal", message)
        if result.get("inconclusive"):
            message += f" {len(result['inconclusive'])} range(s) changed too fast to be compared."
            return unknown(message, "Compare again at a quieter time.")
        return unknown(f"{message} Not everything was compared.", "Raise compare_timeout; see compare.skipped.")
    shown = "; ".join(f"{d['table']} {d['range']}" for d in different[:5])
    message = f"{len(different)} range(s) of rows differ from the primary: {shown}."
    hint = "Repair the rows or rebuild the replica; find the writer first (rules errant and read_only)."
    return failed(different, "equal", message, hint, heals=False)
