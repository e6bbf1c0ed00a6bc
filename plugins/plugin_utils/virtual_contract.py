# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be true of virtual addresses: somebody can take them over, and nobody else has them.

Pure, as the inventory contract, of which it is a part.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import virtual_addresses

if TYPE_CHECKING:
    from .inventory_contract import Stack

NAME = "webstack_virtual_addresses"


def check_virtual(stack: Stack) -> Iterable[str]:
    """Everything about virtual addresses."""
    balancers = stack.members("haproxy")
    if not balancers:
        return
    # All balancers have the same, which is checked elsewhere.
    rows = given_rows(stack, balancers[0])
    everybody = stack.everybody("haproxy")
    if rows and len(everybody) < 2:
        yield alone(rows, everybody[0])
        return
    full = virtual_addresses.complete(rows, everybody)
    yield from check_balancers(rows, everybody)
    yield from check_repeated(full)
    for row in full:
        for address in row["addresses"]:
            yield from check_address(stack, address)
        yield from check_protocols(stack, row, balancers[0])
        for host in balancers:
            yield from check_place(stack, row, host)
    told: set[Any] = set()
    for host in balancers:
        yield from check_probe(stack, host, full, told)


def given_rows(stack: Stack, host: str) -> list[Mapping[str, Any]]:
    """The rows that have addresses; the argument specs report the others."""
    found = stack.value(host, NAME)
    rows = found if isinstance(found, list) else []
    return [row for row in rows if isinstance(row, Mapping) and all(map(parsed, virtual_addresses.addresses_of(row)))]


def parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, or None for what is none."""
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def alone(rows: list[Mapping[str, Any]], host: str) -> str:
    """What is said where nobody could take an address over."""
    named = ", ".join(address for row in rows for address in virtual_addresses.addresses_of(row))
    return (
        f"{NAME} has {named}, and group haproxy has {host} alone, so nobody would take it over: add a host to "
        "haproxy, or remove the addresses; one that something else holds belongs into dns_addresses."
    )


def check_balancers(rows: list[Mapping[str, Any]], everybody: list[str]) -> Iterable[str]:
    """The order of the balancers names balancers."""
    for row in rows:
        for host in row.get("balancers") or []:
            if host not in everybody:
                yield (
                    f"{NAME}: balancers of {virtual_addresses.addresses_of(row)[0]} has {host!r}, which is not in "
                    f"group haproxy: use some of {', '.join(everybody)}."
                )


def check_repeated(rows: list[dict[str, Any]]) -> Iterable[str]:
    """No address and no router id is in two rows."""
    owners: dict[Any, list[str]] = defaultdict(list)
    for row in rows:
        owners[row["virtual_router_id"]].append(row["addresses"][0])
        for address in row["addresses"]:
            owners[address].append(row["addresses"][0])
    for what, named in owners.items():
        if len(named) > 1 and isinstance(what, str):
            yield f"{NAME} has {what} {len(named)} times: keep it in one row."
        elif len(named) > 1:
            yield (
                f"{NAME}: virtual_router_id = {what} belongs to the rows of {' and '.join(named)}, and each needs one "
                "of its own: give one of them another number from 1 to 255."
            )


def check_address(stack: Stack, address: str) -> Iterable[str]:
    """A virtual address is nobody's own."""
    found = parsed(address)
    if found is None or found.is_loopback or found.is_unspecified or found.is_multicast or found.is_link_local:
        yield f"{NAME} has {address}, by which no client reaches a balancer: use an address of the balancers' network."
        return
    for host in stack.everybody("all"):
        own = stack.address(host) == address
        # A balancer has it while it holds it.
        has = host not in stack.everybody("haproxy") and address in (stack.survey(host).get("addresses") or [])
        if own or has:
            what = f"webstack_address of {host}" if own else f"on an interface of {host}"
            yield f"{NAME} has {address}, which is {what}: use an address that no node has."


def check_protocols(stack: Stack, row: Mapping[str, Any], host: str) -> Iterable[str]:
    """Each row has an address of the protocol by which the balancers know each other."""
    own = parsed(stack.address(host))
    if own and not any(ipaddress.ip_address(each).version == own.version for each in row["addresses"]):
        yield (
            f"{NAME}: the row of {row['addresses'][0]} has no address of IPv{own.version}, by which the balancers know "
            "each other: put it into the row of one that is, with which it then moves."
        )


def check_place(stack: Stack, row: Mapping[str, Any], host: str) -> Iterable[str]:
    """The balancer has the interface, or a network on which the address can be."""
    networks = list(virtual_addresses.networks(stack.facts(host)))
    devices = list(dict.fromkeys(each.device for each in networks))
    if not networks:
        # Facts without interfaces, or a host that did not answer.
        return
    if row["interface"]:
        if row["interface"] not in devices:
            yield (
                f"{host}: {NAME}: interface = {row['interface']!r} of {row['addresses'][0]} is none of "
                f"{', '.join(devices)}: correct it, or leave it out."
            )
        return
    if stack.value(host, "keepalived_notify_command"):
        # A provider routes it to whom the command names.
        return
    for address in row["addresses"]:
        if not any(ipaddress.ip_address(address) in each.interface.network for each in networks):
            shown = ", ".join(dict.fromkeys(str(each.interface.network) for each in networks))
            yield (
                f"{host}: {NAME} has {address}, which is in none of this balancer's networks ({shown}): use an "
                "address of one of them, or, where it is routed to the node, name the interface of the row."
            )


def check_probe(stack: Stack, host: str, rows: list[dict[str, Any]], told: set[Any]) -> Iterable[str]:
    """Nobody uses an address that no balancer holds, and no other router its router id; told is what was said."""
    probe = stack.variables[host].get("__keepalived_probe") or {}
    if probe.get("msg") and "used" not in probe:
        yield f"{host}: whether the addresses in {NAME} are free could not be found out: {probe['msg']}."
    silent = [each for each in stack.everybody("haproxy") if each in stack.away or not stack.answered(each)]
    for address, how in (probe.get("used") or {}).items():
        if silent or address in told:
            # One that is left out, or does not answer, may hold it.
            continue
        told.add(address)
        yield (
            f"{NAME} has {address}, which is in use: seen from {host} it {how}, and no balancer holds it: "
            "use a free address, or switch off what has it."
        )
    ours = {stack.address(each) for each in stack.everybody("haproxy")}
    for router in probe.get("routers") or []:
        for row in rows:
            theirs = (row["virtual_router_id"], router["source"])
            if (
                router["virtual_router_id"] == row["virtual_router_id"]
                and router["source"] not in ours
                and theirs not in told
            ):
                told.add(theirs)
                yield (
                    f"{NAME}: virtual_router_id = {row['virtual_router_id']} of {row['addresses'][0]} is used by "
                    f"{router['source']}, which {host} hears on {router['interface']}: set virtual_router_id of this "
                    "row to another number from 1 to 255."
                )
