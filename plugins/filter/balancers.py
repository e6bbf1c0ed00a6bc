# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters about balancers that stand in for each other."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ..plugin_utils import virtual_addresses


def virtual_rows(rows: Iterable[Mapping[str, Any]], balancers: list[str]) -> list[dict[str, Any]]:
    """Rows of virtual addresses with what was left out of them."""
    return virtual_addresses.complete(rows, balancers)


def virtual_instances(
    rows: Iterable[Mapping[str, Any]], host: str, addresses: Mapping[str, str], facts: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What keepalived of a balancer has of each row: its priority, its peers, and interfaces.

    The addresses of the protocol by which the balancers know each other are announced; the others move with them.
    """
    version = ipaddress.ip_address(addresses[host]).version
    result = []
    for row in (row for row in rows if host in row["balancers"]):
        placed = [
            {
                "address": each,
                "length": ipaddress.ip_address(each).max_prefixlen,
                "interface": row["interface"] or virtual_addresses.interface(each, facts, addresses[host]),
                "announced": ipaddress.ip_address(each).version == version,
            }
            for each in row["addresses"]
        ]
        result.append(
            {
                **row,
                "addresses": placed,
                "priority": virtual_addresses.priority(row["balancers"], host),
                "peers": [addresses[each] for each in row["balancers"] if each != host],
                "interface": virtual_addresses.interface(addresses[host], facts),
            }
        )
    return result


def unheld_addresses(rows: Iterable[Mapping[str, Any]], surveys: Iterable[Mapping[str, Any]]) -> list[str]:
    """Virtual addresses that none of the surveyed balancers has."""
    return virtual_addresses.unheld(rows, surveys)


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        """Names of the filters."""
        return {
            "unheld_addresses": unheld_addresses,
            "virtual_instances": virtual_instances,
            "virtual_rows": virtual_rows,
        }
