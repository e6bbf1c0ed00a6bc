# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be written into the guestbook."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

NAME_MAX = 80
MESSAGE_MAX = 2000


@dataclass(frozen=True)
class Draft:
    """A name and a message that have passed every check."""

    name: str
    message: str


@dataclass(frozen=True)
class Entry:
    """One line of the guestbook as the database returned it."""

    id: int
    name: str
    message: str
    created_at: datetime
    node: str

    @property
    def iso(self) -> str:
        """The time as ISO 8601; the database keeps UTC."""
        return self.created_at.isoformat(timespec="milliseconds") + "Z"

    @property
    def shown_time(self) -> str:
        """The time for people."""
        return self.created_at.strftime("%d %b %Y, %H:%M UTC")


class Invalid(Exception):
    """The input cannot be accepted; `fields` says why, field by field."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in fields.items()))
        self.fields = fields


def draft(values: Mapping[str, object]) -> Draft:
    """Trim and check what was sent."""
    cleaned = {field: _clean(values.get(field)) for field in ("name", "message")}
    reasons = {
        "name": _reason(cleaned["name"], NAME_MAX, "your name", controls=""),
        "message": _reason(cleaned["message"], MESSAGE_MAX, "a message", controls="\n\t"),
    }
    problems = {field: reason for field, reason in reasons.items() if reason}
    if problems:
        raise Invalid(problems)
    return Draft(str(cleaned["name"]), str(cleaned["message"]))


def _clean(value: object) -> str | None:
    if value is None:
        return ""
    if not isinstance(value, str):
        return None
    # A form sends line ends as CRLF; each counts as one character, as in the browser.
    return value.replace("\r\n", "\n").replace("\r", "\n").strip()


def _reason(text: str | None, longest: int, what: str, controls: str) -> str | None:
    if text is None:
        return "This must be text."
    if len(text) > longest:
        return f"This is {len(text)} characters long, at most {longest} fit. Please shorten it."
    categories = [unicodedata.category(character) for character in text if character not in controls]
    if "Cc" in categories or "Cs" in categories:
        return "This contains control characters. Please remove them."
    if all(category[0] in "CZ" for category in categories):
        return f"Please enter {what}."
    return None
