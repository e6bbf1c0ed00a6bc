# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the host names and the certificates of sites."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils.addresses import bracketed
from ..plugin_utils.certificates import Unusable, bundle, site_names


def other_name(domain: str) -> str:
    """The name that people also type: without C(www.) where the domain has it, with it where it has two labels."""
    if domain.lower().startswith("www.") and "." in domain[4:]:
        return domain[4:]
    return f"www.{domain}" if domain.count(".") == 1 and not domain.lower().startswith("www.") else ""


def complete_sites(
    sites: Iterable[Mapping[str, Any]], source: str, servers: Sequence[Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Sites with defaults for the source of their certificate, names to redirect from, and their servers."""
    return [{"certificate_source": source, "redirect_from": [], "servers": servers or [], **site} for site in sites]


def known_hosts(sites: Iterable[Mapping[str, Any]], additional: Iterable[Any]) -> list[str]:
    """Every C(Host) that balancers accept, without a port: the names of the sites, and further names and addresses."""
    further = [bracketed(str(host).lower()) for host in additional]
    names = [name for site in sites for name in site_names(site)]
    return list(dict.fromkeys(names + further))


def new_certificates(
    sites: Iterable[Mapping[str, Any]], directory: str, surveyed: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Files for M(pentad.webstack.host_config) of the sites whose certificates differ from what the node has."""
    found = []
    for site in sites:
        try:
            wanted = bundle(site)
        except Unusable as error:
            raise AnsibleFilterError(f"site {site['name']}: a file of its certificate {error}") from error
        path = f"{directory}/{site['name']}.pem"
        if surveyed.get(path, {}).get("sha256") != hashlib.sha256(wanted.encode()).hexdigest():
            found.append(
                {"dest": path, "content": wanted, "mode": "0600", "secret": True, "reload": ["haproxy.service"]}
            )
    return found


def ordered_certificates(sites: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Certificates of the sites for the module M(pentad.webstack.acme_certificates)."""
    return [{"name": site["name"], "domains": site_names(site)} for site in sites]


def shown_certificates(sites: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Certificates of the sites for the module M(pentad.webstack.site_probe)."""
    return [{"names": site_names(site), "source": site["certificate_source"]} for site in sites]


def log_format(page: str) -> str:
    """A page as HAProxy's C(lf-file), which fills in the request's id for C(@request_id@) and nothing else."""
    return page.replace("%", "%%").replace("@request_id@", "%[unique-id]")


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        """Names of the filters."""
        return {
            "other_name": other_name,
            "site_names": site_names,
            "complete_sites": complete_sites,
            "known_hosts": known_hosts,
            "new_certificates": new_certificates,
            "ordered_certificates": ordered_certificates,
            "log_format": log_format,
            "shown_certificates": shown_certificates,
        }
