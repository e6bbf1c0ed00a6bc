# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be true of names and addresses: those by which the nodes reach each other, and what is made from them."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ansible.module_utils.parsing.convert_bool import boolean

if TYPE_CHECKING:
    from .inventory_contract import Stack

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LARGEST_ID = 2**32 - 1
# Longest common name by RFC 5280.
LONGEST_COMMON_NAME = 64
HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")


def address_problems(stack: Stack, ports: Mapping[str, list[int]]) -> Iterable[str]:
    """Everything that is wrong with names and addresses; ports are those that a host opens on its address."""
    addresses = usable(stack)
    yield from check_hosts(stack)
    yield from check_each(stack)
    yield from check_shared(addresses)
    yield from check_families(addresses)
    for host in stack.hosts:
        address = addresses.get(host)
        if address is None:
            continue
        yield from check_owned(stack, host, address)
        yield from check_public(stack, host, address, ports.get(host, []))
    yield from check_server_ids(stack, addresses)
    yield from check_common_names(stack)


def usable(stack: Stack) -> dict[str, Address]:
    """Addresses of all hosts, without those that are none."""
    found = {}
    for host in stack.everybody("all"):
        try:
            found[host] = ipaddress.ip_address(stack.address(host))
        except ValueError:
            continue
    return found


def check_hosts(stack: Stack) -> Iterable[str]:
    """The names of the inventory can be written into certificates and into the configuration of HAProxy."""
    for host in stack.hosts:
        if not HOST_NAME.fullmatch(host):
            yield (
                f"{host}: this name of the inventory cannot be that of a server: use letters, digits, '-', '.' and "
                "'_', and give the node's address as ansible_host."
            )


def check_each(stack: Stack) -> Iterable[str]:
    """Every host has an address that others can reach, written as the nodes themselves write it."""
    for host in stack.hosts:
        text = stack.address(host)
        named = f"{host}: webstack_address = {text!r}"
        if not text:
            if stack.answered(host):
                yield (
                    f"{host}: webstack_address is not set and the node has no default route: "
                    "set it to the node's address."
                )
            continue
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            yield f"{named} is not an IP address: set it to the one the other nodes reach."
            continue
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped or str(address) != text:
            # It is compared as text with what servers and certificates contain.
            yield f"{named} is not how the node itself writes it: set it to {str(mapped or address)!r}."
        elif address.is_loopback or address.is_unspecified or address.is_multicast or linked(address):
            yield f"{named} is no address by which other nodes reach it: set it to one of the node's network."


def linked(address: Address) -> bool:
    """Whether an address means nothing without the name of an interface."""
    return address.version == 6 and address.is_link_local


def check_shared(addresses: Mapping[str, Address]) -> Iterable[str]:
    """No two hosts have the same address."""
    owners = defaultdict(list)
    for host, address in addresses.items():
        owners[address].append(host)
    for address, hosts in owners.items():
        if len(hosts) > 1:
            yield f"webstack_address = {address} belongs to {', '.join(hosts)}: every host needs an address of its own."


def check_families(addresses: Mapping[str, Address]) -> Iterable[str]:
    """All nodes have addresses of one protocol, by which each admits the others."""
    of = {version: [host for host, each in addresses.items() if each.version == version] for version in (4, 6)}
    if of[4] and of[6]:
        yield (
            f"webstack_address is one of IPv4 on {', '.join(of[4])} and one of IPv6 on {', '.join(of[6])}, and the "
            "nodes know each other by one protocol: set webstack_address of all of them to addresses of the same one."
        )


def check_owned(stack: Stack, host: str, address: Address) -> Iterable[str]:
    """The node has the address, on which its services are to listen."""
    own = stack.survey(host).get("addresses")
    if own and str(address) not in own:
        others = [each for each in own if not ipaddress.ip_address(each).is_loopback]
        yield (
            f"{host}: webstack_address = {str(address)!r} is on none of the node's interfaces, which have "
            f"{', '.join(others) or 'none'}: set it to one of these, or add it to an interface."
        )


def check_public(stack: Stack, host: str, address: Address, ports: list[int]) -> Iterable[str]:
    """Nothing but the site is opened to everybody, unless that was decided."""
    if not address.is_global or boolean(stack.value(host, "webstack_accept_public_address"), strict=False):
        return
    origin = "" if "webstack_address" in stack.given[host] else " (that of the node's default route)"
    yield (
        f"{host}: webstack_address = {str(address)!r}{origin} is a public address, and what is meant for the "
        f"other nodes alone would listen on it (ports {', '.join(map(str, ports))}): set webstack_address to a private "
        "address of the node, or, where a firewall keeps these ports for the nodes, "
        "webstack_accept_public_address to true."
    )


def check_server_ids(stack: Stack, addresses: Mapping[str, Address]) -> Iterable[str]:
    """Every database server has a server_id of its own."""
    owners = defaultdict(list)
    for host in stack.everybody("mysql"):
        if host not in addresses and "mysql_server_id" not in stack.given[host]:
            continue
        value = stack.value(host, "mysql_server_id")
        try:
            number = int(value)
        except (TypeError, ValueError):
            # The argument specs have reported that already.
            continue
        if not 0 < number <= LARGEST_ID:
            yield f"{host}: mysql_server_id = {number} is none: use a number from 1 to {LARGEST_ID}."
        owners[number].append(host)
    for number, hosts in owners.items():
        if len(hosts) > 1:
            yield (
                f"mysql_server_id = {number} belongs to {', '.join(hosts)}, and every server needs one of its own: "
                f"set mysql_server_id of {hosts[-1]} to another number from 1 to {LARGEST_ID}."
            )


def check_common_names(stack: Stack) -> Iterable[str]:
    """The name of the authority fits into a certificate."""
    for host in stack.hosts:
        name = str(stack.value(host, "pki_ca_common_name") or "")
        if len(name) > LONGEST_COMMON_NAME:
            yield (
                f"{host}: pki_ca_common_name = {name!r} has {len(name)} characters, and certificates have room for "
                f"{LONGEST_COMMON_NAME}: choose a shorter one."
            )
