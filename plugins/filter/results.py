# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that make messages of what tasks returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Enough to see why a command failed, and not a whole build.
SHOWN = 2000


def failures(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Results of a loop that failed, or the one of a task without a loop, if it did."""
    return [each for each in result.get("results", [result]) if each.get("failed")]


def last_words(result: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> str:
    """The end of the output of a command, or why the module did not run it, with each secret replaced by its name."""
    output = [str(result.get(name) or "") for name in ("stdout", "stderr")]
    text = " ".join(filter(None, output)) or str(result.get("msg") or "no output")
    for name, secret in (secrets or {}).items():
        text = text.replace(secret, name) if secret else text
    return text[-SHOWN:].strip()


def switchover_report(done: Mapping[str, Any]) -> str:
    """What the module mysql_switchover did, or would do in check mode, in sentences."""
    if done["outcome"] == "planned":
        steps = ", ".join(f"{step['name']} ({step['server']})" for step in done["steps"])
        return f"{done['new']} would become the primary instead of {done['old']}, in these steps: {steps}."
    ended = [(len(done[f"ended_{what}"]), what) for what in ("transactions", "sessions")]
    return " ".join(
        [
            f"{done['new']} is the primary instead of {done['old']}; writes paused for "
            f"{done['seconds_without_writer']:.2f} s.",
            f"Ended on {done['old']}: " + ", ".join(f"{count} {what}" for count, what in ended) + ".",
            *done["problems"],
        ]
    )


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        """Names of the filters."""
        return {"failures": failures, "last_words": last_words, "switchover_report": switchover_report}
