# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Privileges as sets: those of SHOW GRANTS, those that are wanted, and the difference as statements."""

from __future__ import annotations

import re
from typing import Iterable, NamedTuple, Tuple

Target = Tuple[str, str]
ALL, GRANT_OPTION = "ALL PRIVILEGES", "GRANT OPTION"
EVERYTHING: Target = ("*", "*")
# Names for the same privilege; the server answers with the second.
_SYNONYMS = {"ALL": ALL, "CREATE TEMPORARY TABLE": "CREATE TEMPORARY TABLES"}
_MARIADB_SYNONYMS = {
    "REPLICATION CLIENT": "BINLOG MONITOR",
    "REPLICA MONITOR": "SLAVE MONITOR",
    "REPLICATION REPLICA": "REPLICATION SLAVE",
    "REPLICATION REPLICA ADMIN": "REPLICATION SLAVE ADMIN",
    "DELETE VERSIONING ROWS": "DELETE HISTORY",
}
_NAME = re.compile(r"^[A-Z][A-Z0-9_]*(?: [A-Z0-9_]+)*$")
_IDENTIFIER = r"(?:`((?:[^`]|``)*)`|(\*|[^`.*\s]+))"
_TARGET = re.compile(rf"^(?:TABLE )?{_IDENTIFIER}\.{_IDENTIFIER}$")
_GRANT = re.compile(rf"^GRANT (.+?) ON (?:TABLE )?({_IDENTIFIER}\.{_IDENTIFIER}) TO ", re.DOTALL)


def _quoted(identifier: str) -> str:
    return "`" + identifier.replace("`", "``") + "`"


class GrantError(ValueError):
    """A privilege or its target is not written as the server reads it."""


class Privilege(NamedTuple):
    """A privilege, and the columns that it is limited to."""

    name: str
    columns: frozenset[str] = frozenset()

    def sql(self) -> str:
        """The privilege as GRANT takes it."""
        if not self.columns:
            return self.name
        return f"{self.name} ({', '.join(_quoted(c) for c in sorted(self.columns))})"


def parse_target(text: str) -> Target:
    """Database and table of a target such as app.* or app.table."""
    found = _TARGET.match(text.strip())
    if not found:
        raise GrantError(f"{text!r} is not a target of privileges, such as *.*, app.* or app.table")
    schema = found.group(2) if found.group(1) is None else found.group(1).replace("``", "`")
    table = found.group(4) if found.group(3) is None else found.group(3).replace("``", "`")
    if schema == "*" and table != "*":
        raise GrantError(f"{text!r}: a table needs its database")
    return schema, table


def target_sql(target: Target) -> str:
    """The target as GRANT takes it."""
    return ".".join("*" if part == "*" else _quoted(part) for part in target)


def _split(text: str) -> list[str]:
    """Split at commas outside of parentheses and backquotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for position, letter in enumerate(text):
        if letter == "`":
            quoted = not quoted
        elif quoted:
            continue
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "," and not depth:
            parts.append(text[start:position])
            start = position + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def parse_privilege(text: str, mariadb: bool) -> Privilege:
    """A privilege as people write it, under the name that the server gives it."""
    head, bracket, rest = text.partition("(")
    name = " ".join(head.upper().split())
    name = _SYNONYMS.get(name, name)
    if mariadb:
        name = _MARIADB_SYNONYMS.get(name, name)
    if not _NAME.match(name) or bracket and not rest.rstrip().endswith(")"):
        raise GrantError(f"{text!r} is not the name of a privilege")
    columns = _split(rest.rstrip()[:-1]) if bracket else []
    return Privilege(name, frozenset(c.strip("`").replace("``", "`") for c in columns))


def parse_wanted(privileges: dict[str, Iterable[str]], mariadb: bool) -> dict[Target, set[Privilege]]:
    """The privileges of an account by target, without those that give nothing."""
    found: dict[Target, set[Privilege]] = {}
    for text, names in privileges.items():
        target = found.setdefault(parse_target(text), set())
        listed = [names] if isinstance(names, str) else list(names)
        for entry in listed:
            target.update(parse_privilege(part, mariadb) for part in _split(str(entry)))
        target.discard(Privilege("USAGE"))
    return {target: names for target, names in found.items() if names}


def parse_show_grants(lines: Iterable[str], mariadb: bool) -> dict[Target, set[Privilege]]:
    """What an account has. Roles and PROXY are no privileges on data and are left out."""
    found: dict[Target, set[Privilege]] = {}
    for line in lines:
        match = _GRANT.match(line)
        if not match or match.group(1).startswith("PROXY"):
            continue
        target = parse_target(match.group(2))
        names = {parse_privilege(part, mariadb) for part in _split(match.group(1))} - {Privilege("USAGE")}
        if line.rstrip().endswith("WITH GRANT OPTION"):
            names.add(Privilege(GRANT_OPTION))
        if names:
            found.setdefault(target, set()).update(names)
    return found


def changes(
    have: dict[Target, set[Privilege]], want: dict[Target, set[Privilege]], every: Iterable[str] = ()
) -> tuple[dict[Target, set[Privilege]], dict[Target, set[Privilege]]]:
    """What to grant and what to revoke. every: names behind ALL on *.*, which the server lists one by one."""
    grant: dict[Target, set[Privilege]] = {}
    revoke: dict[Target, set[Privilege]] = {}
    full = {Privilege(name) for name in every}
    for target in set(have) | set(want):
        has, wants = have.get(target, set()), want.get(target, set())
        if Privilege(ALL) in wants:
            option = {Privilege(GRANT_OPTION)}
            expanded = full if target == EVERYTHING and full and Privilege(ALL) not in has else {Privilege(ALL)}
            missing = {Privilege(ALL)} if expanded - has else set()
            missing |= (wants & option) - has
            extra = (has & option) - wants
        else:
            missing, extra = wants - has, has - wants
        if missing:
            grant[target] = missing
        if extra:
            revoke[target] = extra
    return grant, revoke


def clause(privileges: set[Privilege]) -> tuple[str, bool]:
    """The list of names for a statement, and whether the grant option is among them."""
    names = sorted(p.sql() for p in privileges if p.name != GRANT_OPTION)
    return ", ".join(names), Privilege(GRANT_OPTION) in privileges
