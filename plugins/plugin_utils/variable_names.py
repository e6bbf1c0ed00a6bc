# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that look like variables of the collection and are none, or none any more, which Ansible would ignore."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase

SHARED = "webstack"
# Variables that were renamed: the old name, and the one that they have.
RENAMED = {
    "app_server_asgi": "webstack_app_asgi",
    "app_server_packages": "webstack_app_packages",
    "app_server_threads": "webstack_app_threads",
    "app_server_workers": "webstack_app_workers",
    "haproxy_sites": "webstack_sites",
    "nginx_public_port": "webstack_public_https_port",
}


def unknown_names(
    names: Iterable[str], documented: Collection[str], roles: Iterable[str], others: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Each name that begins like ours and is neither ours nor another's, with what to do about it.

    A name begins like ours by the name of a role or of the stack; others are patterns of names that are not ours.
    """
    prefixes = tuple(f"{prefix}_" for prefix in (SHARED, *roles))
    patterns = list(others)
    for name in names:
        if name in documented or any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        if name in RENAMED:
            yield name, f"is called {RENAMED[name]} now, and would be ignored: rename it."
        elif name.startswith(prefixes):
            yield name, advice(name, documented)


def advice(name: str, documented: Collection[str]) -> str:
    """What to do about a name that is not ours."""
    near = get_close_matches(name, documented, n=1)
    correct = f"it is nearest to {near[0]}, so correct it" if near else "remove it"
    return (
        f"is no variable of pentad.webstack, and would be ignored: {correct}; "
        "or name it in webstack_other_variables, if it is of something else."
    )
