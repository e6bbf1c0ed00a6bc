# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rule is, what it may find, and how a subject lists its rules."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from ..model import Server

CRITICAL, WARNING, INFO, SKIP = "critical", "warning", "info", "skip"
PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"


class Finding(NamedTuple):
    """What a rule found on one server or channel."""

    status: str
    observed: Any
    expected: Any
    message: str
    hint: str = ""
    # At most this severity, whatever the rule's own is.
    cap: str | None = None
    heals: bool = True


class Rule(NamedTuple):
    """A rule: its name, its own severity, what it says in a sentence, and how it is judged."""

    id: str
    severity: str
    title: str
    function: Callable[..., Finding | None]
    per_channel: bool


def into(rules: list[Rule]) -> Callable[..., Any]:
    """The decorator by which a subject puts its rules on this list, which is the order in which they are shown."""

    def rule(identifier: str, severity: str, title: str, per_channel: bool = False) -> Callable[..., Any]:
        def register(function: Callable[..., Finding | None]) -> Callable[..., Finding | None]:
            rules.append(Rule(identifier, severity, title, function, per_channel))
            return function

        return register

    return rule


def passed(observed: Any, expected: Any, message: str) -> Finding:
    """It is as it should be."""
    return Finding(PASS, observed, expected, message)


def failed(observed: Any, expected: Any, message: str, hint: str, **more: Any) -> Finding:
    """It is not as it should be."""
    return Finding(FAIL, observed, expected, message, hint, **more)


def unknown(message: str, hint: str = "") -> Finding:
    """It could not be judged."""
    return Finding(UNKNOWN, None, None, message, hint)


def refused(server: Server, *sections: str) -> Finding | None:
    """The finding for rows that could not be read, with the grant that opens them."""
    row = server.denied(*sections)
    if not row:
        return None
    hint = f"Run on {server.name}: {row['grant']}" if row.get("grant") else ""
    return unknown(f"This could not be read: {row.get('error')}", hint)


def span(seconds: float) -> str:
    """A length of time in the largest unit that fits twice."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
