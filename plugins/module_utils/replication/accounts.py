# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of replication, and which of them the server picks for a client."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Sequence

from .model import Server

# What a backup program (mysqlbinlog) on the primary's own host uses never crosses a network.
WITHIN_THE_HOST = {"Socket", "Named Pipe", "Shared Memory"}


def attached_accounts(server: Server) -> list[tuple[str, str]]:
    """With which accounts, and from where, others read the binary log of this server."""
    rows = [r for r in server.snapshot.get("dump_threads") or [] if r.get("connection_type") not in WITHIN_THE_HOST]
    return sorted({(str(r.get("user")), _without_port(str(r.get("host") or ""))) for r in rows if r.get("user")})


def accounts_of_interest(server: Server) -> list[str]:
    """The accounts by which it follows; of a server that follows nobody, those by which others follow it."""
    return [c.source_user for c in server.channels] or [user for user, _host in attached_accounts(server)]


def _without_port(host: str) -> str:
    return host.rsplit(":", 1)[0] if host.count(":") == 1 else host


def addresses_of(client: Server, source: Server, user: str) -> list[str]:
    """Addresses under which its source may see a server, the most certain first."""
    reported = [str(client.variables.get("report_host") or ""), str(client.snapshot.get("address") or "")]
    attached = {host for name, host in attached_accounts(source) if name == user}
    return [each for each in reported if each] + (list(attached) if len(attached) == 1 else [])


def account_used(rows: list[dict[str, Any]], addresses: Sequence[str]) -> list[dict[str, Any]]:
    """The account that the server picks for a client, by the first address that matches one; all if none matches."""
    for address in addresses:
        matching = [r for r in rows if _matches(str(r.get("host") or "%"), address)]
        if matching:
            return [min(matching, key=lambda r: _breadth(str(r.get("host") or "%")))]
    return rows


def _matches(pattern: str, address: str) -> bool:
    if "/" in pattern:
        try:
            return ipaddress.ip_address(address) in ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            return False
    expression = re.escape(pattern.lower()).replace("%", ".*").replace("_", ".")
    return re.fullmatch(expression, address.lower()) is not None


def _breadth(pattern: str) -> tuple[int, int]:
    """How the server sorts accounts of one name: a literal host first, then networks, then patterns by their start."""
    if "/" in pattern:
        return 1, 0
    start = re.split("[%_]", pattern, maxsplit=1)[0]
    return (0, 0) if start == pattern else (2, -len(start))
