# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that look like variables of the collection and are none, which Ansible would ignore in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase

SHARED = "webstack"


def unknown_names(
    names: Iterable[str], known: Collection[str], roles: Iterable[str], others: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Each name that begins like ours, is none and belongs to nobody else, with what to do about it.

    Ours begin with the name of a role, or of the stack; others are patterns of names that do so, too.
    """
    prefixes = tuple(f"{prefix}_" for prefix in (SHARED, *roles))
    patterns = list(others)
    for name in names:
        if not name.startswith(prefixes) or name in known or any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        near = get_close_matches(name, known, n=1)
        correct = f"it is nearest to {near[0]}, so correct it" if near else "remove it"
        yield (
            name,
            (
                f"is no variable of pentad.webstack, and would be ignored: {correct}; "
                "or name it in webstack_other_variables, if it is of something else."
            ),
        )
