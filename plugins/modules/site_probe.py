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
  - Asks every web node itself, then the balancer, each request on a connection of its own, and counts
    which node answered.
  - Writes a canary through the balancer and waits until the read-only path shows it.
  - Reports what it found and judges each point; it fails only where it cannot ask at all.
options:
  address:
    description: Address of the balancer.
    type: str
    required: true
  port:
    description: Port of the site on the balancer.
    type: int
    required: true
  domain:
    description: Host name of the site, sent as C(Host).
    type: str
    required: true
  nodes:
    description: Web nodes, each with C(name), C(address) and C(port).
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
  ready_path:
    description: Path that answers 200 only when the application reaches its databases.
    type: str
    required: true
  canary_path:
    description: Path that takes and shows canaries; empty for an application that has none.
    type: str
    default: ""
  share:
    description:
      - How the requests are to be spread over the nodes; V(even) as with round robin, V(some) for each as with the
        fewest connections, V(any) where one node may get all of them.
      - Asks again until they are, for at most O(timeout) seconds.
    type: str
    choices: [even, some, any]
    default: even
  timeout:
    description: Seconds for one request, and for the canary to arrive.
    type: int
    default: 10
attributes:
  check_mode:
    description: Asks without writing the canary.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Probe the site
  pentad.webstack.site_probe:
    address: 192.0.2.11
    port: 80
    domain: www.example.com
    nodes:
      - {name: web1, address: 192.0.2.21, port: 8080}
    ready_path: /readyz
    canary_path: /canary
"""

RETURN = r"""
findings:
  description: What was looked at, whether it is right, what was seen, and what to do.
  returned: success
  type: list
  elements: dict
  sample: [{"host": "web1", "check": "ready", "ok": true, "fact": "200 on /readyz", "remedy": ""}]
"""

import http.client
import json
import time
import uuid
from collections import Counter
from typing import Any

from ansible.module_utils.basic import AnsibleModule

ROUNDS = 4
PAUSE = 0.5
SHORT = 200


class Answer:
    """An HTTP answer, or why there was none."""

    def __init__(self, status: int, body: str, served_by: str) -> None:
        self.status, self.body, self.served_by = status, body, served_by

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object; empty if it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def seen(self) -> str:
        """The answer in a few words."""
        return f"{self.status or 'no answer'}: {' '.join(self.body.split())[:SHORT]}"


def ask(address: str, port: int, domain: str, path: str, timeout: float, send: dict[str, Any] | None = None) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request(
            "GET" if send is None else "POST",
            path,
            body=None if send is None else json.dumps(send),
            headers={"Host": domain, "Content-Type": "application/json", "Connection": "close"},
        )
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        return Answer(answer.status, body, answer.headers.get("X-Served-By", ""))
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, str(error) or type(error).__name__, "")
    finally:
        connection.close()


def finding(host: str, check: str, ok: bool, fact: str, remedy: str) -> dict[str, Any]:
    """One point of the proof."""
    return {"host": host, "check": check, "ok": ok, "fact": fact, "remedy": "" if ok else remedy}


def probe_nodes(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether every web node is ready by itself."""
    result = []
    for node in params["nodes"]:
        answer = ask(node["address"], node["port"], params["domain"], params["ready_path"], params["timeout"])
        result.append(
            finding(
                node["name"],
                "ready",
                answer.status == 200,
                f"{params['ready_path']} answers {answer.seen}",
                "Look at the application ('journalctl -u') and nginx on that node, and at its database endpoints.",
            )
        )
    return result


def ask_in_turn(params: dict[str, Any], times: int) -> tuple[Counter[str], list[str]]:
    """Answers of the site by the node that gave them, and what was wrong with the others."""
    counts: Counter[str] = Counter()
    failed = []
    for _attempt in range(times):
        answer = ask(params["address"], params["port"], params["domain"], "/", params["timeout"])
        if answer.status == 200:
            counts[answer.served_by] += 1
        else:
            failed.append(answer.seen)
    return counts, failed


def enough(count: int, share: str) -> bool:
    """Whether a node answered as many requests of one pass as it has to."""
    return count * 2 >= ROUNDS if share == "even" else count > 0


def probe_balancer(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether every node answers through the balancer, and how evenly."""
    names = [node["name"] for node in params["nodes"]]
    deadline = time.monotonic() + params["timeout"]
    while True:
        counts, failed = ask_in_turn(params, ROUNDS * len(names))
        served = [name for name in names if enough(counts[name], params["share"])]
        # A server that is back begins slowly, and the clients of others count for leastconn.
        if failed or served == names or params["share"] == "any" or time.monotonic() > deadline:
            break
        time.sleep(PAUSE)
    result = [
        finding(
            "site",
            "balancer",
            not failed,
            f"{sum(counts.values())} of {ROUNDS * len(names)} requests answered" + (f"; {failed[0]}" if failed else ""),
            "Look at the statistics page of the balancer for servers that are down.",
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
                    "The balancer does not send it its share: see its statistics page for this server's health check.",
                )
            )
    return result


def probe_canary(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether a row written through the balancer is read back from a replica."""
    token = str(uuid.uuid4())
    where = (params["address"], params["port"], params["domain"], params["canary_path"], params["timeout"])
    written = ask(*where, send={"token": token})
    if written.status != 200:
        remedy = "Writes fail: see which database node is the writable primary (port of the health endpoint, /status)."
        return [finding("site", "write", False, f"writing a canary answers {written.seen}", remedy)]
    node, database = written.json.get("node"), written.json.get("database")
    result = [finding("site", "write", True, f"{node} wrote a canary on {database}", "")]
    start = time.monotonic()
    seen = "nothing"
    while time.monotonic() - start < params["timeout"]:
        answer = ask(*where)
        found = answer.json
        tokens = found.get("tokens")
        arrived = isinstance(tokens, dict) and tokens.get(node) == token
        if answer.status == 200 and arrived and found.get("role") == "replica":
            took = (time.monotonic() - start) * 1000
            fact = f"{found.get('database')} showed it after {took:.0f} ms"
            return [*result, finding("site", "read", True, fact, "")]
        seen = f"{found.get('role')} {found.get('database')}, canary {'arrived' if arrived else 'missing'}"
        if answer.status != 200:
            seen = answer.seen
        time.sleep(0.1)
    remedy = "No healthy replica serves reads, or it lags: see the verdict of each replica below."
    fact = f"the canary was not read back from a replica within {params['timeout']} s (last: {seen})"
    return [*result, finding("site", "read", False, fact, remedy)]


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
            "domain": {"type": "str", "required": True},
            "nodes": {"type": "list", "elements": "dict", "required": True, "options": endpoint},
            "ready_path": {"type": "str", "required": True},
            "canary_path": {"type": "str", "default": ""},
            "share": {"type": "str", "choices": ["even", "some", "any"], "default": "even"},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    findings = probe_nodes(module.params) + probe_balancer(module.params)
    if module.params["canary_path"] and not module.check_mode:
        findings += probe_canary(module.params)
    module.exit_json(changed=False, findings=findings)


if __name__ == "__main__":
    main()
