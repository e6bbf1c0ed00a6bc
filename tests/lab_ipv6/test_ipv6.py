# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that know each other by IPv6: what speaks to whom, and clients of both protocols. Changes nothing."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from places import TOP

SCENARIO = TOP / "molecule" / "ipv6"
AUTHORITY = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent / ".webstack" / "pki" / "ca.pem"
SUFFIX = f"-ipv6{os.environ.get('WEBSTACK_LAB_SUFFIX', '')}"
NET = os.environ.get("WEBSTACK_IPV6_NET", "fd00:3093")
CLIENT = "mariadb" if os.environ.get("WEBSTACK_LAB_ENGINE") == "mariadb" else "mysql"
ADDRESSES = {"lb1": f"{NET}::11", "web1": f"{NET}::21", "web2": f"{NET}::22", "db1": f"{NET}::31", "db2": f"{NET}::32"}
DOMAIN = yaml.safe_load((SCENARIO / "group_vars" / "all" / "main.yml").read_text())["webstack_domain"]
# Lines of /proc/net/tcp that listen: address and port in hexadecimal.
LISTEN = "0A"
# Of 127.0.0.0/8, where Docker's resolver listens too.
LOOPBACK = "7F:"


def run(node: str, command: str) -> str:
    """What a command on a node says."""
    done = testinfra.get_host(f"docker://{node}{SUFFIX}").run(command)
    assert done.rc == 0, f"{node}: {command}: {done.stderr or done.stdout}"
    return done.stdout


def query(node: str, statement: str) -> list[str]:
    """Fields of the one row that a statement has."""
    return run(node, f"{CLIENT} --batch --skip-column-names --execute '{statement}'").rstrip("\n").split("\t")


def site(address: str, path: str = "/", body: dict[str, Any] | None = None) -> http.client.HTTPResponse:
    """An answer of the site at an address of the balancer, whose certificate has to name the domain."""
    connection = http.client.HTTPSConnection(address, 443, timeout=10)
    plain = socket.create_connection((address, 443), 10)
    connection.sock = ssl.create_default_context(cafile=str(AUTHORITY)).wrap_socket(plain, server_hostname=DOMAIN)
    headers = {"Host": DOMAIN, "Content-Type": "application/json"}
    connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    answer.read()
    return answer


def ipv4_address(node: str) -> str:
    """The address that Docker has given a node besides."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    command = ["docker", "inspect", "--format", form, f"{node}{SUFFIX}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("node", ADDRESSES)
def test_nothing_but_the_site_listens_on_ipv4(node):
    tables = [line.split() for line in run(node, "cat /proc/net/tcp").splitlines()[1:]]
    open_to_all = {fields[1].split(":")[1] for fields in tables if fields[3] == LISTEN and LOOPBACK not in fields[1]}
    # SSH is the node's own.
    site_ports = {f"{port:04X}" for port in ((80, 443) if node == "lb1" else ())}
    assert open_to_all - {f"{22:04X}"} == site_ports


@pytest.mark.parametrize("ipv6", [True, False], ids=["IPv6", "IPv4"])
def test_clients_of_both_protocols_are_served_and_seen_by_their_address(ipv6):
    address = ADDRESSES["lb1"] if ipv6 else ipv4_address("lb1")
    with socket.create_connection((address, 443), 10) as probe:
        client = probe.getsockname()[0]
    answers = [site(address, f"/?from={client}") for _attempt in range(4)]
    assert {answer.status for answer in answers} == {200}
    served = {answer.headers["X-Served-By"] for answer in answers}
    assert served == {f"web1{SUFFIX}", f"web2{SUFFIX}"}
    for node in ("web1", "web2"):
        lines = [line for line in run(node, "cat /var/log/nginx/access.log").splitlines() if f"/?from={client}" in line]
        assert lines
        assert {line.split()[0] for line in lines} == {client}


def test_plain_http_leads_to_the_long_name():
    connection = http.client.HTTPConnection(ADDRESSES["lb1"], 80, timeout=10)
    connection.request("GET", "/", headers={"Host": DOMAIN})
    location = connection.getresponse().headers["Location"]
    assert location.startswith(f"https://{DOMAIN}")


def test_the_servers_have_ids_of_their_own_and_replicate_by_ipv6():
    ids = [int(query(node, "SELECT @@GLOBAL.server_id")[0]) for node in ("db1", "db2")]
    assert len(set(ids)) == 2
    assert min(ids) > 1
    command = "SHOW REPLICA STATUS" if CLIENT == "mysql" else "SHOW SLAVE STATUS"
    assert ADDRESSES["db1"] in query("db2", command)


@pytest.mark.parametrize("node", ["lb1", "web1", "db1"])
def test_certificates_name_the_node_and_its_address(node):
    path = "/etc/mysql/tls/server.pem" if node == "db1" else "/etc/ssl/webstack/node.pem"
    if node == "lb1":
        path = "/etc/haproxy/certificates/site.pem"
    told = run(node, f"openssl x509 -in {path} -noout -subject -ext subjectAltName")
    [written] = [
        part.strip() for part in told.replace("\n", ",").split(",") if "IP Address" in part and "127" not in part
    ]
    assert socket.inet_pton(socket.AF_INET6, written.partition(":")[2]) == socket.inet_pton(
        socket.AF_INET6, ADDRESSES[node]
    )
    assert (f"DNS:{DOMAIN}" in told) is (node == "lb1")


def test_the_replica_forgets_the_name_by_which_it_copied():
    assert "clone" not in run("db2", "cat /etc/hosts")
