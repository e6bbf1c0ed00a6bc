#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that a site answers through its balancer, from every web node, down to the replicas."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_probe
short_description: Prove that a site answers through its balancer
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Sends requests to every web node itself, then to the balancer, each on a connection of its own, and counts which
    node answered. All of them over TLS; certificates and names are verified against the authorities of the system and
    the internal one.
  - Checks the certificate that the balancer shows for each site, and where plain HTTP leads to.
  - Writes a canary through the balancer and waits until the read-only path shows it.
  - Returns a finding for each point, right or wrong; it fails only where no request can be sent at all.
options:
  address:
    description: Address of the balancer.
    type: str
    required: true
  port:
    description: Port of the site on the balancer.
    type: int
    required: true
  http_port:
    description: Port of the balancer on which plain HTTP is redirected.
    type: int
    required: true
  domain:
    description: Host name of the site, sent by TLS.
    type: str
    required: true
  host:
    description: What clients send as C(Host), with the port where that is not the usual one; O(domain) if empty.
    type: str
    default: ""
  virtual_addresses:
    description: Addresses, besides that of the balancer, by which clients reach the site.
    type: list
    elements: str
    default: []
  nodes:
    description: Web nodes, each with C(name), for which its certificate has to be valid, C(address) and C(port).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name, as in the header C(X-Served-By).
        type: str
        required: true
      address:
        description: Address.
        type: str
        required: true
      port:
        description: Port.
        type: int
        required: true
  sites:
    description: Sites whose certificates are checked.
    type: list
    elements: dict
    default: []
    suboptions:
      names:
        description: Host names of the site.
        type: list
        elements: str
        required: true
      source:
        description: Where its certificate comes from.
        type: str
        choices: [authority, files, acme]
        required: true
  min_days:
    description: Days that a certificate has to be valid for.
    type: int
    default: 14
  ca_path:
    description: PEM file on this node with the internal authority.
    type: path
    required: true
  authorities:
    description: PEM content with further authorities.
    type: str
    default: ""
  ready_path:
    description: Path that answers 200 only when the application reaches its databases.
    type: str
    required: true
  application:
    description: Unit of the application on the nodes, by which its journal is named.
    type: str
    default: app
  canary_path:
    description: Path that takes and shows canaries; empty for an application that has none.
    type: str
    default: ""
  share:
    description:
      - How the requests are to be spread over the nodes; V(even) as with round robin, V(some) for each as with the
        fewest connections, V(any) where one node may get all of them.
      - Repeats the requests until they are, for at most O(timeout) seconds.
    type: str
    choices: [even, some, any]
    default: even
  timeout:
    description: Seconds for one request, and for the canary to arrive.
    type: int
    default: 10
  ready_timeout:
    description:
      - Seconds that every node may take until it is ready, and the balancer until it has noticed, where the application
        was started just now. With V(0) the first answers count.
    type: int
    default: 0
attributes:
  check_mode:
    description: Does all but write the canary.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Probe the site
  pentad.webstack.site_probe:
    address: 192.0.2.11
    port: 443
    http_port: 80
    domain: www.example.com
    ca_path: /etc/ssl/webstack/ca.pem
    sites:
      - {names: [www.example.com, example.com], source: authority}
    nodes:
      - {name: web1, address: 192.0.2.21, port: 8080}
    ready_path: /readyz
    canary_path: /canary
"""

RETURN = r"""
findings:
  description: What was checked, whether it is right, what was observed, and what to do.
  returned: success
  type: list
  elements: dict
  sample: [{"host": "web1", "check": "ready", "ok": true, "fact": "200 on /readyz", "remedy": ""}]
"""

import ssl
import time
import uuid
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.site_client import Place, reason, request, tls_context

ROUNDS = 4
PAUSE = 0.5
# Seconds after which a canary that did not arrive is written once more.
AGAIN = 1
SERVER_ERROR = 500
RENEWAL = {
    "authority": "Run site.yml, which renews certificates of the internal authority.",
    "files": "Put a renewed one into the files that webstack_sites or webstack_certificate names, and run site.yml.",
    "acme": "Check why the ACME client on that balancer has not renewed it.",
}


def finding(host: str, check: str, ok: bool, fact: str, remedy: str) -> dict[str, Any]:
    """One point of the proof."""
    return {"host": host, "check": check, "ok": ok, "fact": fact, "remedy": "" if ok else remedy}


def probe_nodes(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether every web node is ready by itself."""
    deadline = time.monotonic() + params["ready_timeout"]
    context = tls_context(params["ca_path"], params["authorities"])
    return [probe_node(params, node, context, deadline) for node in params["nodes"]]


def probe_node(
    params: dict[str, Any], node: dict[str, Any], context: ssl.SSLContext, deadline: float
) -> dict[str, Any]:
    """Whether a web node is ready, or becomes so before the deadline."""
    place = Place(node["address"], node["port"], params["host"] or params["domain"], node["name"], context)
    while True:
        answer = request(place, params["ready_path"], params["timeout"])
        if answer.status == 200 or time.monotonic() >= deadline:
            break
        time.sleep(PAUSE)
    return finding(
        node["name"],
        "ready",
        answer.status == 200,
        f"{params['ready_path']} {answer.told}",
        f"Read 'journalctl -u {params['application']} -u nginx -u haproxy' on {node['name']}: the application reaches "
        "its databases through HAProxy there.",
    )


def balancer(params: dict[str, Any]) -> Place:
    """The site on the balancer."""
    context = tls_context(params["ca_path"], params["authorities"])
    return Place(params["address"], params["port"], params["host"] or params["domain"], params["domain"], context)


def count_answers(params: dict[str, Any], times: int) -> tuple[Counter[str], list[str]]:
    """Answers of the site by the node that gave them, and what was wrong with the others."""
    counts: Counter[str] = Counter()
    failed = []
    place = balancer(params)
    for _attempt in range(times):
        answer = request(place, "/", params["timeout"])
        # An application may answer anything here, also a redirect or 404.
        if answer.served_by and answer.status < SERVER_ERROR:
            counts[answer.served_by] += 1
        else:
            failed.append(answer.summary)
    return counts, failed


def enough(count: int, share: str) -> bool:
    """Whether a node answered as many requests of one pass as it has to."""
    return count * 2 >= ROUNDS if share == "even" else count > 0


def probe_balancer(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether every node answers through the balancer, and how evenly."""
    names = [node["name"] for node in params["nodes"]]
    deadline = time.monotonic() + params["timeout"]
    while True:
        counts, failed = count_answers(params, ROUNDS * len(names))
        served = [name for name in names if enough(counts[name], params["share"])]
        # A server that is back begins slowly, and the clients of others count for leastconn.
        retry = params["ready_timeout"] > 0 if failed else served != names and params["share"] != "any"
        if not retry or time.monotonic() > deadline:
            break
        time.sleep(PAUSE)
    result = [
        finding(
            "site",
            "balancer",
            not failed,
            f"{sum(counts.values())} of {ROUNDS * len(names)} requests answered" + (f"; {failed[0]}" if failed else ""),
            "Check the statistics page of the balancer for servers that are down.",
        )
    ]
    for name in names:
        if params["share"] != "any" or len(names) == 1:
            result.append(
                finding(
                    name,
                    "balanced",
                    name in served,
                    f"answered {counts[name]} of {sum(counts.values())} requests through the balancer",
                    "The balancer does not send it its share: check this server's health on its statistics page.",
                )
            )
    return result


def probe_canary(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether a row written through the balancer is read back from a replica."""
    token = str(uuid.uuid4())
    where = (balancer(params), params["canary_path"], params["timeout"])
    written = request(*where, send={"token": token})
    if written.status != 200:
        remedy = "Writes fail: find out which database node is the primary (port of the health endpoint, /status)."
        return [finding("site", "write", False, f"writing a canary {written.told}", remedy)]
    node, database = written.json.get("node"), written.json.get("database")
    result = [finding("site", "write", True, f"{node} wrote a canary on {database}", "")]
    start = put = time.monotonic()
    last = "nothing"
    while time.monotonic() - start < params["timeout"]:
        # Who proves the site at the same time, through another balancer or by another run, replaces the row of a node.
        if time.monotonic() - put >= AGAIN:
            request(*where, send={"token": token})
            put = time.monotonic()
        answer = request(*where)
        found = answer.json
        tokens = found.get("tokens")
        # Of whichever node, for the second one may be another.
        arrived = isinstance(tokens, dict) and token in tokens.values()
        if answer.status == 200 and arrived and found.get("role") == "replica":
            took = (time.monotonic() - start) * 1000
            fact = f"{found.get('database')} showed it after {took:.0f} ms"
            return [*result, finding("site", "read", True, fact, "")]
        last = f"{found.get('role')} {found.get('database')}, canary {'arrived' if arrived else 'missing'}"
        if answer.status != 200:
            last = answer.summary
        time.sleep(0.1)
    remedy = "No healthy replica serves reads, or it lags: read the verdict of each replica below."
    fact = f"the canary was not read back from a replica within {params['timeout']} s (last: {last})"
    return [*result, finding("site", "read", False, fact, remedy)]


def probe_redirect(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether plain HTTP leads to HTTPS."""
    answer = request(Place(params["address"], params["http_port"], params["domain"]), "/", params["timeout"])
    ok = answer.status in (301, 308) and answer.location.startswith(f"https://{params['domain']}")
    fact = f"plain HTTP is redirected to {answer.location}" if ok else f"plain HTTP {answer.told}"
    return [finding("site", "redirect", ok, fact, "Plain HTTP must lead to HTTPS: check haproxy.cfg on the balancer.")]


def probe_maintenance(params: dict[str, Any]) -> list[dict[str, Any]]:
    """A finding if maintenance is on, because clients then get other answers than this probe."""
    if not request(balancer(params), params["ready_path"], params["timeout"]).maintenance:
        return []
    fact = "is on: everybody but haproxy_maintenance_allow is answered with 503"
    return [finding("site", "maintenance", True, fact, "")]


def probe_virtual(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether the site answers at every virtual address, whoever holds it."""
    found = []
    for address in params["virtual_addresses"]:
        answer = request(balancer({**params, "address": address}), params["ready_path"], params["timeout"])
        fact = f"{params['ready_path']} {answer.told}"
        remedy = "Find out which balancer holds the address ('ip address'), and whether this node reaches it there."
        found.append(finding(address, "site", answer.status == 200, fact, remedy))
    return found


def probe_certificates(params: dict[str, Any]) -> list[dict[str, Any]]:
    """What the balancer shows for every host name of every site: by whom, and until when."""
    result = []
    context = tls_context(params["ca_path"], params["authorities"], check_dates=False)
    for site in params["sites"]:
        for name in site["names"]:
            place = Place(params["address"], params["port"], name, context=context)
            try:
                with place.connect(params["timeout"]) as shown:
                    ok, fact = validity(shown.getpeercert(), params["min_days"])
            except OSError as error:
                ok, fact = False, f"no certificate that can be trusted: {reason(error)}"
            result.append(finding(name, "certificate", ok, fact, RENEWAL[site["source"]]))
    return result


def validity(certificate: dict[str, Any], least: int) -> tuple[bool, str]:
    """Whether a certificate is valid for long enough, and its issuer and end as a text."""
    begin, end = (
        datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate[key]), timezone.utc)
        for key in ("notBefore", "notAfter")
    )
    issuer = dict(pair for part in certificate["issuer"] for pair in part)
    by = issuer.get("commonName") or issuer.get("organizationName") or "an authority without a name"
    now = datetime.now(timezone.utc)
    if begin > now:
        return False, f"is not valid before {begin:%Y-%m-%d}, issued by {by}"
    if end <= now:
        return False, f"has expired on {end:%Y-%m-%d}, issued by {by}"
    return end - now >= timedelta(days=least), f"is valid until {end:%Y-%m-%d}, {(end - now).days} days, issued by {by}"


def main() -> None:
    """Run the module."""
    endpoint = {
        "name": {"type": "str", "required": True},
        "address": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "http_port": {"type": "int", "required": True},
            "domain": {"type": "str", "required": True},
            "host": {"type": "str", "default": ""},
            "sites": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "names": {"type": "list", "elements": "str", "required": True},
                    "source": {"type": "str", "choices": ["authority", "files", "acme"], "required": True},
                },
            },
            "min_days": {"type": "int", "default": 14},
            "ca_path": {"type": "path", "required": True},
            "authorities": {"type": "str", "default": ""},
            "virtual_addresses": {"type": "list", "elements": "str", "default": []},
            "nodes": {"type": "list", "elements": "dict", "required": True, "options": endpoint},
            "application": {"type": "str", "default": "app"},
            "ready_path": {"type": "str", "required": True},
            "canary_path": {"type": "str", "default": ""},
            "share": {"type": "str", "choices": ["even", "some", "any"], "default": "even"},
            "timeout": {"type": "int", "default": 10},
            "ready_timeout": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    if not Path(module.params["ca_path"]).is_file():
        module.fail_json(msg=f"{module.params['ca_path']} is not there: run site.yml, which places the authority.")
    findings = probe_nodes(module.params) + probe_balancer(module.params)
    findings += probe_virtual(module.params)
    findings += probe_maintenance(module.params) + probe_redirect(module.params) + probe_certificates(module.params)
    if module.params["canary_path"] and not module.check_mode:
        findings += probe_canary(module.params)
    module.exit_json(changed=False, findings=findings)


if __name__ == "__main__":
    main()
