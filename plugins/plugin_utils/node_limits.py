# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of a node, and what the services of the stack need of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .inventory_contract import Stack

# HAProxy needs two files for each connection, and some for its listeners, checks and logs.
FILES_BESIDE = 200


def connections_within(wanted: int, open_files: int) -> int:
    """As many connections as are wanted, or as a service that has two files open for each can hold."""
    return max(1, min(int(wanted), (int(open_files) - FILES_BESIDE) // 2))


def check_open_files(stack: Stack) -> Iterable[str]:
    """HAProxy does not start where it may not open as many files as it needs."""
    for host in dict.fromkeys(stack.members("haproxy") + stack.members("web")):
        allowed = stack.survey(host).get("open_files")
        try:
            wanted = int(stack.value(host, "haproxy_maxconn"))
        except (TypeError, ValueError):
            # The argument specs have reported that already.
            continue
        if allowed is None:
            continue
        possible = connections_within(wanted, allowed)
        if wanted > possible:
            yield (
                f"{host}: haproxy_maxconn = {wanted} needs {2 * wanted + FILES_BESIDE} open files and a service of "
                f"this node may have {allowed}: set it to {possible} or less, or leave it out, or raise that limit."
            )
