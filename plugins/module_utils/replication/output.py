# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A verdict on replication as text: for people and for Prometheus. Pure."""

from __future__ import annotations

import textwrap
from typing import Any, Iterable, Mapping

VERDICTS = ("ok", "warning", "critical", "unknown")
STATUSES = {"pass": 0, "warn": 1, "fail": 2, "unknown": 3}
_ORDER = {"fail": 0, "unknown": 1, "warn": 2, "info": 3, "pass": 4}
_WIDTH = 110

Result = Mapping[str, Any]


def table(result: Result) -> str:
    """The verdict for people: what is wrong first, with what to do; then what is right, a line each."""
    checks = sorted(result["checks"], key=lambda check: _ORDER.get(check["status"], 3))
    wide = max((len(_place(check)) for check in checks), default=0)
    lines = [*_heading(result), ""]
    for check in checks:
        start = f"{check['status'].upper():<8}{_place(check):<{wide}}  "
        lines += textwrap.wrap(check["message"], _WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
        if check["status"] != "pass" and check["hint"]:
            indent = " " * len(start)
            lines += textwrap.wrap(check["hint"], _WIDTH, initial_indent=f"{indent}-> ", subsequent_indent=indent)
    return "\n".join(lines) + "\n"


def _place(check: Result) -> str:
    return f"{check['id']} ({check['channel']})" if check.get("channel") else check["id"]


def _heading(result: Result) -> Iterable[str]:
    engine, role = result["engine"], result["role"]["observed"] or "role not known"
    server = f"{engine['flavor']} {engine['version']}" if engine else "server"
    yield f"{result['verdict'].upper()}  {server}  {role}"
    for channel in result["channels"]:
        lag = channel["lag"]["seconds"]
        shown = "lag not known" if lag is None else f"lag {lag:g} s"
        source = channel["source"]
        yield f"follows {source['host']}:{source['port']}, {shown}"
    if result["coverage"] != "full":
        yield "not every rule could be checked; see UNKNOWN below"


def prometheus(result: Result, now: float) -> str:
    """The verdict in the text format of Prometheus; now is the time of the verdict in seconds since the epoch."""
    gtid = result["gtid"] or {}
    families: list[tuple[str, str, list[Any]]] = [
        (
            "verdict",
            "1 for the verdict that holds, 0 for the others.",
            [({"verdict": each}, int(each == result["verdict"])) for each in VERDICTS],
        ),
        (
            "check",
            "Result of a rule: 0 pass, 1 warn, 2 fail, 3 unknown.",
            [
                ({"rule": c["id"], "channel": c.get("channel") or "", "severity": c["severity"]}, STATUSES[c["status"]])
                for c in result["checks"]
                if c["status"] in STATUSES
            ],
        ),
        (
            "lag_seconds",
            "Seconds that the replica is behind its source; absent while it is not known.",
            [
                ({"channel": c["name"]}, c["lag"]["seconds"])
                for c in result["channels"]
                if c["lag"]["seconds"] is not None
            ],
        ),
        (
            "missing_transactions",
            "Transactions of the primary that are not applied here.",
            _single(gtid.get("missing_count")),
        ),
        ("errant_transactions", "Transactions here that the primary lacks.", _single(gtid.get("errant_count"))),
        ("promotable", "1 if this replica could take over.", _single(int(result["promotion"]["promotable"]))),
        ("verdict_timestamp_seconds", "When this verdict was given.", _single(round(now, 3))),
    ]
    return "".join(_family(f"mysql_replication_{name}", text, samples) for name, text, samples in families if samples)


def _single(value: float | None) -> list[Any]:
    return [] if value is None else [({}, value)]


def _family(name: str, text: str, samples: list[Any]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
    # One rule may have several findings of the same labels; the worst counts.
    worst: dict[str, float] = {}
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(str(each))}"' for key, each in labels.items())
        key = f"{name}{{{inside}}}" if inside else name
        worst[key] = max(value, worst.get(key, value))
    return "\n".join([*lines, *(f"{key} {value:.15g}" for key, value in worst.items())]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
