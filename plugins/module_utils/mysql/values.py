# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and values of server variables: as they are written in the option file, and when two of them mean the same."""

from __future__ import annotations

import os.path
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Iterable, Mapping, NamedTuple

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4, "P": 1024**5, "E": 1024**6}
_ON, _OFF = {"ON", "TRUE", "YES", "1"}, {"OFF", "FALSE", "NO", "0"}
_SIZE = re.compile(r"(\d+)([KMGTPE]?)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
# Variables with another name than their option, and options that set the same variable in the other engine.
_OPTIONS = {
    "time_zone": "default_time_zone",
    "tx_isolation": "transaction_isolation",
    "tx_read_only": "transaction_read_only",
}
VARIABLES = {
    "default_time_zone": "time_zone",
    "transaction_isolation": "tx_isolation",
    "transaction_read_only": "tx_read_only",
}
_RENAMED = {
    "mysql": {"slave_net_timeout": "replica_net_timeout", "log_slave_updates": "log_replica_updates"},
    "mariadb": {"replica_net_timeout": "slave_net_timeout", "log_replica_updates": "log_slave_updates"},
}
# Sizes that servers round down to.
_BLOCKS = (512, 1024, 4096, 1024**2)


def option_name(name: Any, engine: str = "") -> str:
    """The one spelling of a setting's name: servers take dashes for underscores, and a variable for its option."""
    plain = str(name).strip().lower().replace("-", "_")
    plain = _OPTIONS.get(plain, plain)
    return _RENAMED.get(engine, {}).get(plain, plain)


def option_value(value: Any) -> str:
    """A value as the option file has it; YAML makes booleans of C(on) and C(off), which not every option takes."""
    if value is None:
        return ""
    text = str(value).strip()
    if isinstance(value, bool) or text.upper() in {"TRUE", "YES", "FALSE", "NO"}:
        return "ON" if text.upper() in _ON else "OFF"
    return text


def number(value: Any) -> Decimal | None:
    """The number of a text, also of a size with its suffix; None if it is no number."""
    text = str(value).strip()
    size = _SIZE.fullmatch(text)
    if size:
        return Decimal(int(size[1]) * UNITS[size[2].upper()])
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def bound(value: Any) -> Any:
    """The value as a statement has it: a number where it is one, otherwise the word, as enumerations need it."""
    found = number(value)
    if found is None:
        return option_value(value)
    return int(found) if "." not in str(value) and found == found.to_integral_value() else float(found)


class Limits(NamedTuple):
    """How the server adjusts a number: the range that it has to be in, and the blocks that it is rounded up to."""

    low: Decimal | None = None
    high: Decimal | None = None
    block: int = 0

    def takes(self, wanted: Decimal, running: Decimal) -> bool:
        """Whether a server that is given the wanted number runs with the other one."""
        clamped = wanted if self.low is None else max(wanted, self.low)
        clamped = clamped if self.high is None else min(clamped, self.high)
        if running == clamped:
            return True
        down = any(clamped > block and running == clamped - clamped % block for block in _BLOCKS)
        up = self.block > 0 and running % self.block == 0 and 0 < running - clamped < self.block
        return down or up


NO_LIMITS = Limits()


def _switch(text: str) -> bool | None:
    return True if text.upper() in _ON else False if text.upper() in _OFF else None


def _path(text: str, datadir: str) -> str:
    return os.path.normpath(Path(datadir) / text)


def _members(text: str) -> set[str]:
    return {part.strip().casefold() for part in text.split(",") if part.strip()}


def same(running: Any, wanted: Any, limits: Limits = NO_LIMITS, datadir: str = "") -> bool:
    """Whether a running value is the wanted one in another spelling.

    Numbers with their suffixes, switches, words without regard to their case, lists without regard to their order, and
    paths with regard to the data directory.
    """
    now, then = str(running).strip(), option_value(wanted)
    if now == then:
        return True
    numbers = number(now), number(then)
    if numbers[0] is not None and numbers[1] is not None:
        return limits.takes(numbers[1], numbers[0])
    if _switch(now) is not None and _switch(now) == _switch(then):
        return True
    if "/" in now + then:
        return _path(now, datadir) == _path(then, datadir)
    return _members(now) == _members(then)


def in_order(names: Iterable[str]) -> list[str]:
    """The order to set variables in: a character set brings its own collation, so that comes after."""
    return sorted(names, key=lambda name: (name.startswith("collation"), "collation" in name))


def variable(name: str, running: Mapping[str, Any]) -> str | None:
    """The variable that an option sets; None for an option that is no variable."""
    plain = option_name(name)
    plain = plain[len("loose_") :] if plain.startswith("loose_") else plain
    return next((each for each in (plain, VARIABLES.get(plain)) if each in running), None)
