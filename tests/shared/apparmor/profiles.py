# SPDX-License-Identifier: GPL-3.0-or-later
"""AppArmor profiles as text: their file rules, and what they let a program do with a path.

Only what decides over files is read: paths with their globs, permissions, C(deny), variables and includes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RULE = re.compile(r"(?P<deny>deny )?(?:owner )?(?P<path>[/@]\S*) (?P<permissions>[rwamklixPUCpuc]+)")
INCLUDE = re.compile(r"#?include (?:if exists )?<(?P<name>[^>]+)>")
VARIABLE = re.compile(r"@\{\w+\} ?= ?.*")


@dataclass(frozen=True)
class Rule:
    """What may be done with the paths that match."""

    path: re.Pattern[str]
    permissions: frozenset[str]
    deny: bool


@dataclass(frozen=True)
class Profile:
    """A profile with all that it includes."""

    mode: str
    rules: tuple[Rule, ...]

    def allows(self, path: str, permissions: str) -> bool:
        """Whether the program may do all of that with the path."""
        matching = [rule for rule in self.rules if rule.path.fullmatch(path)]
        granted = {one for rule in matching if not rule.deny for one in rule.permissions}
        denied = {one for rule in matching if rule.deny for one in rule.permissions}
        return set(permissions) <= granted - denied


def shipped() -> dict[str, Any]:
    """The profiles as the packages ship them."""
    return json.loads(Path(__file__).with_name("shipped.json").read_text())


def essence(text: str) -> list[str]:
    """Lines of a profile that decide over files: its header, rules, variables and includes."""
    found = []
    for line in text.splitlines():
        words = " ".join(line.split()).removesuffix(",")
        if INCLUDE.fullmatch(words):
            found.append(words.removeprefix("#").replace("if exists ", ""))
            continue
        words = words.partition("#")[0].strip().removesuffix(",")
        if words.endswith("{") or VARIABLE.fullmatch(words) or RULE.fullmatch(words):
            found.append(words)
    return found


def glob(pattern: str) -> str:
    """A path with AppArmor's wildcards as a regular expression; behind a slash a star stands for something."""
    result, position = "", 0
    while position < len(pattern):
        rest = pattern[position:]
        after_slash = pattern[:position].endswith("/")
        if rest.startswith("**"):
            result, position = result + (".+" if after_slash else ".*"), position + 2
            continue
        if rest[0] == "[":
            end = rest.index("]") + 1
            result, position = result + rest[:end], position + end
            continue
        translated = {"*": "[^/]+" if after_slash else "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
        result, position = result + translated.get(rest[0], re.escape(rest[0])), position + 1
    return result


def profile(name: str, files: Mapping[str, list[str]]) -> Profile:
    """A profile of the given files, each a list of lines as essence() has them; those that are missing are empty."""
    variables: dict[str, list[str]] = {}
    lines = resolved(name, files, set())
    for line in lines:
        if VARIABLE.fullmatch(line):
            variable, values = (part.strip() for part in line.split("=", 1))
            variables.setdefault(variable, []).extend(values.split())
    headers = [line for line in lines if line.endswith("{")]
    mode = "none" if not headers else "complain" if "complain" in headers[0] else "enforce"
    return Profile(mode, tuple(rule(found, variables) for line in lines if (found := RULE.fullmatch(line))))


def resolved(name: str, files: Mapping[str, list[str]], seen: set[str]) -> list[str]:
    """Lines of a file and of what it includes, each file once."""
    seen.add(name)
    found = []
    for line in files.get(name, []):
        include = INCLUDE.fullmatch(line)
        if not include:
            found.append(line)
        elif include["name"] not in seen:
            found += resolved(include["name"], files, seen)
    return found


def rule(found: re.Match[str], variables: Mapping[str, list[str]]) -> Rule:
    """One rule, its variables replaced by all of their values."""
    path = found["path"]
    while match := re.search(r"@\{\w+\}", path):
        values = [value.rstrip("/") or "/" for value in variables.get(match[0], [])]
        path = path.replace(match[0], "{" + ",".join(values) + "}" if values else "no-such-variable")
    return Rule(re.compile(glob(path)), frozenset(found["permissions"]), bool(found["deny"]))


def included(name: str, top: Path) -> dict[str, list[str]]:
    """A profile and all that it includes, from a tree as /etc/apparmor.d."""
    found: dict[str, list[str]] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each in found or not (top / each).is_file():
            continue
        found[each] = essence((top / each).read_text())
        waiting += [include["name"] for line in found[each] if (include := INCLUDE.fullmatch(line))]
    return found
