# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that derive addresses and identifiers from the inventory."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils.addresses import certificate_name, host_port
from ..module_utils.mysql.gtid import GtidError
from ..module_utils.mysql.values import option_name, option_value
from ..plugin_utils.primary import Member, Refused, choose, member
from ..plugin_utils.shared_state import password_digest

# Of a server_id; 0 is none.
LARGEST_ID = 2**32 - 1


def default_address(facts: Mapping[str, Any]) -> str:
    """Address of the interface with the default route, of IPv6 where there is none for IPv4; empty without either."""
    routes = ((facts or {}).get(name) or {} for name in ("default_ipv4", "default_ipv6"))
    return next((str(route["address"]) for route in routes if route.get("address")), "")


def host_addresses(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> dict[str, str]:
    """Address of each of the hosts: its C(webstack_address), or that of the interface with the default route.

    That of a database server that does not answer, and of which no facts are cached, is the one by which the endpoints
    of a web node know it. Hosts without any are left out.
    """
    found = {}
    for host in hosts:
        address = hostvars[host].get("webstack_address") or default_address(hostvars[host].get("ansible_facts") or {})
        address = address or _address_in_endpoints(host, hostvars)
        if address:
            found[host] = str(address)
    return found


def _address_in_endpoints(host: str, hostvars: Mapping[str, Any]) -> str:
    """Address of a database server in the HAProxy of a web node, C(__webstack_survey) of it."""
    for web in (hostvars[host].get("groups") or {}).get("web", []):
        known = _at(hostvars[web], ["__webstack_survey", "haproxy", "addresses"]) or {}
        if f"mysql_primary/{host}" in known:
            return str(known[f"mysql_primary/{host}"])
    return ""


def host_values(hosts: Iterable[str], hostvars: Mapping[str, Any], path: str, default: Any = None) -> list[Any]:
    """Values of hosts at a path of names with dots; hosts without one are left out unless there is a default."""
    found = [_at(hostvars[host], path.split(".")) for host in hosts]
    return [default if value is None else value for value in found if value is not None or default is not None]


def unreachable_hosts(hosts: Iterable[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Hosts that did not answer the survey, C(__webstack_survey) of each."""
    return [host for host in hosts if _at(hostvars[host], ["__webstack_survey", "unreachable"])]


def _at(value: Any, names: list[str]) -> Any:
    """The value at the end of these names, or None."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def keys_holding(table: Mapping[str, Iterable[Any]], item: Any) -> list[str]:
    """Keys of a table whose lists hold an item, in the order of the table."""
    return [key for key, held in table.items() if item in held]


def endpoints(hosts: list[str], addresses: Mapping[str, str], port: int | str) -> list[dict[str, Any]]:
    """Server entries C({name, address, port}) of the given hosts, in their order."""
    missing = [host for host in hosts if host not in addresses]
    if missing:
        raise AnsibleFilterError(
            f"no address is known for {', '.join(missing)}: the host did not answer; "
            "set webstack_address for it in the inventory, or run without --limit once."
        )
    return [{"name": host, "address": addresses[host], "port": int(port)} for host in hosts]


def zones(domains: list[str]) -> list[str]:
    """Zones of host names: each without its C(www.), unless it is below another one."""
    found = list(dict.fromkeys(domain.lower().removeprefix("www.") for domain in domains))
    return [name for name in found if not any(name.endswith("." + other) for other in found)]


def by_zone(domains: list[str], zones_wanted: list[str]) -> dict[str, list[str]]:
    """Host names by the longest zone that they are in."""
    found: dict[str, list[str]] = {zone: [] for zone in zones_wanted}
    for domain in domains:
        holders = [zone for zone in zones_wanted if f".{domain}".endswith(f".{zone}")]
        if not holders:
            raise AnsibleFilterError(
                f"{domain} is in none of the zones {', '.join(zones_wanted)}: add its zone to dns_zones."
            )
        found[max(holders, key=len)].append(domain)
    return {zone: names for zone, names in found.items() if names}


def server_settings(settings: Mapping[str, Any], engine: str = "") -> dict[str, str | None]:
    """Settings of a database server, with names spelled in one way and values as in its option file.

    A setting without a value, as C(skip_name_resolve), stays one.
    """
    return {
        option_name(name, engine): None if value is None else option_value(value) for name, value in settings.items()
    }


def server_id(address: str) -> int:
    """A server_id from 1 to 4294967295: an IPv4 address as a number, and a digest of an IPv6 address.

    No two IPv4 addresses share one. Two IPv6 addresses may, with a chance of one in four billion.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError as error:
        raise AnsibleFilterError(f"webstack_address {address!r} is not an IP address: {error}") from error
    if found.version == 4:
        return int(found)
    return int.from_bytes(hashlib.sha256(found.packed).digest()[:4], "big") % LARGEST_ID + 1


def scrape_jobs(
    exporters: Iterable[Mapping[str, Any]],
    nodes: Mapping[str, list[str]],
    addresses: Mapping[str, str],
    ports: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Jobs of Prometheus for exporters, each on the C(nodes) of its group, at the port that its variable has."""
    return [
        {"name": each["job"], "targets": endpoints(nodes[each["group"]], addresses, ports[each["port"]])}
        for each in exporters
    ]


def tagged_roles(roles: list[str], tags: Iterable[str]) -> list[str]:
    """Roles of a node that the tags of a run select; all of them without tags, or with C(packages)."""
    chosen = set(tags)
    if chosen & {"all", "tagged", "packages"}:
        return list(roles)
    if "mysql" in chosen:
        chosen |= {"mysql_server", "mysql_health"}
    return [role for role in roles if role in chosen]


def find_primary(hostvars: Mapping[str, Any], groups: Mapping[str, list[str]]) -> dict[str, Any]:
    """The primary, by what C(mysql_replication_info) found (C(__webstack_replication) of every database host).

    Returns C(primary); C(refusal), a sentence if it cannot be determined; C(silent), other hosts that did not answer;
    C(objections), why a host must not be pointed at the primary; C(events), those that the primary has to run.
    """
    members = members_of(hostvars, groups)
    try:
        choice = choose(members, groups.get("mysql_primary", []))
    except (Refused, GtidError) as refusal:
        return {"primary": "", "refusal": str(refusal), "silent": [], "objections": {}, "events": []}
    return {
        "primary": choice.primary,
        "refusal": "",
        "silent": [host for host in choice.silent if host != choice.primary],
        "objections": dict(choice.objections),
        "events": [dict(zip(("schema", "name"), each, strict=True)) for each in choice.events],
    }


def members_of(hostvars: Mapping[str, Any], groups: Mapping[str, list[str]]) -> list[Member]:
    """The database servers, by what C(mysql_replication_info) found of each."""
    hosts = list(groups.get("mysql", []))
    addresses = host_addresses(hostvars, hosts)
    return [
        member(
            host,
            hostvars[host].get("__webstack_replication"),
            address=addresses.get(host, ""),
            installed=not hostvars[host].get("__webstack_missing_packages"),
            given_up=host in _listed(hostvars[host].get("mysql_replica_rebuild")),
        )
        for host in hosts
    ]


def _listed(value: Any) -> list[str]:
    """The hosts that a variable names, as a list or as a single one."""
    return [value] if isinstance(value, str) else list(value or [])


def password_digests(passwords: Mapping[str, str], key: str) -> str:
    """Lines by which a node recognises the passwords, keyed by the authority's private key (PEM)."""
    return "".join(f"{name} {password_digest(name, str(password), key)}\n" for name, password in passwords.items())


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        """Names of the filters."""
        return {
            "by_zone": by_zone,
            "certificate_name": certificate_name,
            "default_address": default_address,
            "host_addresses": host_addresses,
            "host_values": host_values,
            "keys_holding": keys_holding,
            "endpoints": endpoints,
            "find_primary": find_primary,
            "host_port": host_port,
            "password_digests": password_digests,
            "scrape_jobs": scrape_jobs,
            "server_id": server_id,
            "server_settings": server_settings,
            "tagged_roles": tagged_roles,
            "unreachable_hosts": unreachable_hosts,
            "zones": zones,
        }
