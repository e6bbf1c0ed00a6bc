# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on group replication."""

from __future__ import annotations

from ..context import Context
from ..model import is_on
from .registry import CRITICAL, WARNING, Finding, Rule, failed, into, passed, refused

RULES: list[Rule] = []
rule = into(RULES)


@rule("group_member", CRITICAL, "This server is an online member of its group")
def _group_member(ctx: Context) -> Finding | None:
    if ctx.role != "group":
        return None
    state = ctx.local.own_member.get("MEMBER_STATE")
    if not state:
        return refused(ctx.local, "group_members")
    if state == "ONLINE":
        return passed(state, "ONLINE", f"The member is online as {ctx.local.own_member.get('MEMBER_ROLE')}.")
    hint = {
        "RECOVERING": "It fetches what it missed; check the group_replication_recovery channel if this lasts.",
        "ERROR": "It left the group after an error: read its error log, then START GROUP_REPLICATION.",
        "UNREACHABLE": "The network between the members is cut.",
    }.get(str(state), "START GROUP_REPLICATION.")
    message = f"The member is {state}, not ONLINE."
    return failed(
        state, "ONLINE", message, hint, cap=WARNING if state == "RECOVERING" else None, heals=state != "ERROR"
    )


@rule("group_quorum", CRITICAL, "The group has a majority and one primary")
def _group_quorum(ctx: Context) -> Finding | None:
    members = [m for m in ctx.local.members if m.get("MEMBER_ID")]
    if ctx.role != "group" or not members:
        return None
    online = [m for m in members if m.get("MEMBER_STATE") in {"ONLINE", "RECOVERING"}]
    primaries = [m for m in online if m.get("MEMBER_ROLE") == "PRIMARY"]
    observed = {f"{m.get('MEMBER_HOST')}:{m.get('MEMBER_PORT')}": m.get("MEMBER_STATE") for m in members}
    if 2 * len(online) <= len(members):
        message = f"The group has lost its majority ({len(online)} of {len(members)} members): every write hangs."
        hint = "Bring members back; only if they are gone for good: group_replication_force_members."
        return failed(observed, "majority", message, hint, heals=False)
    single = ctx.local.variables.get("group_replication_single_primary_mode")
    if is_on(single) and len(primaries) != 1:
        message = f"The group has {len(primaries)} primaries instead of one."
        return failed(observed, "one primary", message, "An election may be under way; check again in a few seconds.")
    least = int(ctx.policy["min_group_members"])
    if len(members) < least:
        message = f"The group has {len(members)} member(s); one more loss takes its majority."
        return failed(observed, f">= {least} members", message, "Bring the missing members back.", cap=WARNING)
    unreachable = [name for name, state in observed.items() if state == "UNREACHABLE"]
    if unreachable:
        message = f"Not reachable from here: {', '.join(unreachable)}."
        return failed(observed, "all online", message, "Check these members and the network.", cap=WARNING)
    return passed(observed, "majority", f"{len(online)} of {len(members)} members are there, with one primary.")
