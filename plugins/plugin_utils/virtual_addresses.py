# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual addresses: which balancers hold them in which order, by which router id, and on which interface. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..module_utils.addresses import canonical

LARGEST_ROUTER_ID = 255
# Priorities of the first and the last balancer of an address. One without servers has 125 less, which is then less
# than any other one has, and more than 0, by which a balancer gives up.
HIGHEST, LOWEST = 250, 130
# As far apart as that, so that two balancers do not take over at the same moment.
STEP = 50


class Network(NamedTuple):
    """A network that a node is in, by its interface."""

    device: str
    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface


def addresses_of(row: Mapping[str, Any]) -> list[str]:
    """The addresses of a row, as the kernel writes them."""
    found = row.get("addresses")
    return [canonical(str(each)) for each in found] if isinstance(found, list) else []


def complete(rows: Iterable[Any], balancers: list[str]) -> list[dict[str, Any]]:
    """Rows of virtual addresses, each with its C(virtual_router_id), its C(balancers) in order, and a C(name).

    Without an order of its own, each row begins with the next balancer, so that several addresses are spread. Without
    a router id of its own, it has the last byte of its first address, or the next one that is free.
    """
    known = [row for row in rows if isinstance(row, Mapping) and addresses_of(row)]
    taken = {row["virtual_router_id"] for row in known if row.get("virtual_router_id")}
    found = []
    for index, row in enumerate(known):
        addresses = addresses_of(row)
        virtual_router_id = row.get("virtual_router_id") or free_router_id(addresses[0], taken)
        taken.add(virtual_router_id)
        turned = balancers[index % len(balancers) :] + balancers[: index % len(balancers)] if balancers else []
        order = list(dict.fromkeys([*(row.get("balancers") or []), *turned]))
        found.append(
            {
                "name": f"virtual-{virtual_router_id}",
                "addresses": addresses,
                "virtual_router_id": int(virtual_router_id),
                "balancers": [host for host in order if host in balancers],
                "interface": row.get("interface") or "",
            }
        )
    return found


def free_router_id(address: str, taken: Collection[Any]) -> int:
    """The last byte of an address, or the next number from 1 to 255 that is not taken."""
    try:
        first = ipaddress.ip_address(address).packed[-1]
    except ValueError:
        # Reported elsewhere.
        first = 1
    numbers = [(first - 1 + step) % LARGEST_ROUTER_ID + 1 for step in range(LARGEST_ROUTER_ID)]
    return next((number for number in numbers if number not in taken), numbers[0])


def priority(order: list[str], host: str) -> int:
    """Priority of a balancer; the first in order has the highest."""
    step = min(STEP, (HIGHEST - LOWEST) // max(len(order) - 1, 1))
    return HIGHEST - step * order.index(host)


def networks(facts: Mapping[str, Any]) -> Iterator[Network]:
    """Networks of a node by its facts, without single addresses, as a virtual one is."""
    for part in facts.values():
        if not isinstance(part, Mapping) or not part.get("device"):
            continue
        entries = [part.get("ipv4") or {}, *(part.get("ipv4_secondaries") or []), *(part.get("ipv6") or [])]
        for entry in entries:
            if isinstance(entry, Mapping) and entry.get("address"):
                length = entry.get("prefix") or entry.get("netmask")
                try:
                    found = ipaddress.ip_interface(f"{entry['address']}/{length}" if length else entry["address"])
                except ValueError:
                    continue
                if found.network.prefixlen < found.network.max_prefixlen:
                    yield Network(str(part["device"]), found)


def interface(address: str, facts: Mapping[str, Any], own: str = "") -> str:
    """Interface on whose network an address is; otherwise the one with the node's own address; empty without either."""
    for wanted in (address, own):
        try:
            parsed = ipaddress.ip_address(wanted)
        except ValueError:
            continue
        near = [each for each in networks(facts) if parsed in each.interface.network]
        if near:
            return max(near, key=lambda each: each.interface.network.prefixlen).device
    return ""


def unheld(rows: Iterable[Mapping[str, Any]], surveys: Iterable[Mapping[str, Any]]) -> list[str]:
    """Virtual addresses that none of the surveyed balancers has."""
    held = {canonical(str(each)) for survey in surveys for each in survey.get("addresses") or []}
    return [address for row in rows for address in row["addresses"] if address not in held]
