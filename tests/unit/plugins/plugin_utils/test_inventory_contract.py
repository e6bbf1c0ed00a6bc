# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of the input says what is wrong, where, and what to do; and nothing of what is right."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.plugin_utils import inventory_contract as contract
from ansible_collections.pentad.webstack.plugins.plugin_utils import value_types, variable_names
from inputs import DEFAULTS, GROUPS, SITE, SPECS, TOP, everywhere, stack

ACCEPT = {"webstack_accept_public_address": True}


def has(*addresses: str) -> dict[str, Any]:
    """A survey that found these addresses."""
    return {"__webstack_survey": {"addresses": list(addresses), "listeners": [], "database": {}}}


def six(**changes: dict[str, Any]) -> contract.Stack:
    """The five nodes with addresses of IPv6, and with changed variables of some hosts."""
    addresses = {host: {"webstack_address": f"fd00::{number}"} for number, host in enumerate(GROUPS["all"], 1)}
    return stack({host: {**address, **changes.get(host, {})} for host, address in addresses.items()})


def sites(*those: dict[str, Any], **balancer: Any) -> dict[str, dict[str, Any]]:
    """Sites of all hosts, the first of them that of the stack, with further variables of the balancer."""
    served = {"webstack_sites": list(those), "webstack_domain": those[0]["domains"][0]}
    return {host: {**served, **(balancer if host == "lb1" else {})} for host in GROUPS["all"]}


def acme(*those: dict[str, Any], **changes: Any) -> dict[str, dict[str, Any]]:
    """Sites whose certificates an ACME authority issues, with changes of the balancer's variables."""
    settings = {
        "webstack_certificate_source": "acme",
        "acme_terms_agreed": True,
        "acme_directory_url": "https://acme.example/directory",
    }
    return sites(*(those or [SITE]), **{**settings, **changes})


def listens(process: str, port: int, address: str = "0.0.0.0") -> dict[str, Any]:
    """A survey that found one listener."""
    listener = {"address": address, "port": port, "process": process}
    return {"__webstack_survey": {"listeners": [listener], "database": {}}}


def holds(**database: Any) -> dict[str, Any]:
    """A survey that found a database."""
    return {"__webstack_survey": {"listeners": [], "database": {"datadir": "/var/lib/mysql", **database}}}


def system(distribution: str, version: str) -> dict[str, Any]:
    """Facts of a system."""
    return {"ansible_facts": {"distribution": distribution, "distribution_version": version}}


def mariadb(**changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Nodes with MariaDB, with changed variables of some hosts."""
    return {host: {"webstack_mysql_engine": "mariadb", **changes.get(host, {})} for host in GROUPS["mysql"]}


def inner_ports(*groups: str) -> list[int]:
    """Ports of the services and exporters of a node in these groups that are for the other nodes alone."""
    claims = [claim for group in groups for claim in contract.CLAIMS[group]]
    return sorted({DEFAULTS[claim.port_variable] for claim in claims if claim.address == contract.NODE})


INNER_PORTS = inner_ports("all", "mysql")
ACCEPTED = {
    "five nodes": stack(),
    "more of each": stack(
        all=[*GROUPS["all"], "lb2", "web3", "db3"],
        haproxy=["lb1", "lb2"],
        web=["web1", "web2", "web3"],
        mysql=["db1", "db2", "db3"],
        mysql_replica=["db2", "db3"],
    ),
    "no monitoring": stack(monitoring=[]),
    "monitoring on a database node": stack(monitoring=["db2"]),
    "IPv6": six(),
    "addresses of the nodes": stack({"web1": {**has("192.0.2.11", "127.0.0.1"), "webstack_address": "192.0.2.11"}}),
    "a public address that was accepted": stack(
        {"web1": {"webstack_address": "198.18.0.1"}, "db1": {"webstack_address": "8.8.8.8", **ACCEPT}}
    ),
    "server_ids of its own": stack({"db1": {"mysql_server_id": 1}, "db2": {"mysql_server_id": 4294967295}}),
    "values of the right kind": stack({"lb1": {"haproxy_balance": "leastconn", "haproxy_maxconn": 5000}}),
    "a number as text in a structure": stack(
        sites({**SITE, "servers": [{"name": "web1", "address": "192.0.2.11", "port": "80"}]})
    ),
    "two sites": stack(sites(SITE, {**SITE, "name": "blog", "domains": ["blog.example.com"]})),
    "ACME": stack(acme(acme_email="ops@example.com", acme_ca_bundle=str(TOP / "README.md"))),
    "ACME for one site": stack(
        acme(
            {**SITE, "name": "intern", "domains": ["intern"]},
            {**SITE, "certificate_source": "acme"},
            webstack_certificate_source="authority",
        )
    ),
    "no ACME, no agreement": stack(acme(webstack_certificate_source="authority", acme_terms_agreed=False)),
    "an order is under way": stack(acme(**listens("certbot", 8402, "192.0.2.10"))),
    "port of ACME without it": stack({"lb1": listens("java", 8402)}),
    "own services run": stack({"lb1": listens("haproxy", 80), "db1": listens("mysqld", 3306, "127.0.0.1")}),
    "MariaDB runs": stack(mariadb(db1=listens("mariadbd", 3306))),
    "a stranger elsewhere": stack({"web1": listens("sshd", 22), "db1": listens("nginx", 8080)}),
    "a stranger on another address": stack({"web1": listens("nginx", 8080, "127.0.0.1")}),
    "Debian 12": stack(everywhere(**system("Debian", "12"))),
    "Ubuntu": stack(everywhere(**system("Ubuntu", "24.04"))),
    "Ubuntu packages MySQL": stack({"db1": {**system("Ubuntu", "22.04"), "mysql_server_repositories": []}}),
    "Debian packages MariaDB": stack(mariadb(db1={"mysql_server_repositories": []})),
    "MySQL installed by hand": stack({"db1": {"mysql_server_repositories": [], **holds(engine="", version="9.7.0")}}),
    "first MySQL": stack({"db1": holds(engine="mysql", version="8.0.11")}),
    "last MySQL": stack({"db1": holds(engine="mysql", version="9.99.0")}),
    "UUIDs": stack({"db1": holds(server_uuid="u-1"), "db2": holds(server_uuid="u-2")}),
    "short host name": stack(everywhere(webstack_domain="intranet")),
    "longest label": stack(everywhere(webstack_domain="a" * 63 + ".example")),
}


@pytest.mark.parametrize("given", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_right_is_accepted(given):
    assert contract.problems(given, []) == []


DOMAIN_FIX = "is not a host name: use letters, digits, '-' and '.', as in www.example.com."
ACCOUNT_FIX = "cannot name a system account: use a-z, 0-9, '_' and '-', at most 31."
SYSTEM_FIX = "is not supported: use one of Debian 12, 13; Ubuntu 22.04, 24.04, 26.04."
PORTS_FIX = "give one of them another port, or move one of the services to another host."
REFUSED = {
    "no balancer": (
        stack(haproxy=[]),
        "group haproxy has 0 hosts and needs at least 1: add hosts to it in the inventory.",
    ),
    "one web node": (
        stack(web=["web1"]),
        "group web has 1 hosts and needs at least 2: add hosts to it in the inventory.",
    ),
    "no replica": (
        stack(mysql=["db1"], mysql_replica=[]),
        "group mysql_replica has 0 hosts and needs at least 1: add hosts to it in the inventory.",
    ),
    "no primary": (
        stack(mysql=["db2"], mysql_primary=[]),
        "group mysql_primary has 0 hosts and needs at least 1: add hosts to it in the inventory.",
    ),
    "two primaries": (
        stack(all=[*GROUPS["all"], "db3"], mysql=["db1", "db2", "db3"], mysql_primary=["db1", "db3"]),
        "group mysql_primary has 2 hosts (db1, db3) and there can be one primary: "
        "keep one and move the others to mysql_replica.",
    ),
    "both roles": (
        stack(mysql_replica=["db1", "db2"]),
        "db1: is in mysql_primary and in mysql_replica: a server has one role, remove it from one of the groups.",
    ),
    "replica outside mysql": (
        stack(mysql=["db1"]),
        "db2: group mysql has to be the parent of mysql_primary and mysql_replica, and of nothing else.",
    ),
    "neither role": (
        stack(mysql=["db1", "db2", "lb1"]),
        "lb1: group mysql has to be the parent of mysql_primary and mysql_replica, and of nothing else.",
    ),
    "site name": (
        stack(sites({**SITE, "name": "my shop"})),
        "lb1: webstack_sites: name = 'my shop' is not usable: letters, digits, '_', '-', '.'.",
    ),
    "site name of streams": (
        stack(sites({**SITE, "name": "shop-streams"})),
        "lb1: webstack_sites: name = 'shop-streams' ends as the backends for streams and static files do: "
        "choose another one.",
    ),
    "site of the stack": (
        stack(everywhere(webstack_sites=[SITE], webstack_domain="www.example.com")),
        "lb1: webstack_domain = 'www.example.com' is in the domains of none of webstack_sites, and the proof asks for "
        "it: set it to one of them, as shop.example.com.",
    ),
    "site of the stack that is only redirected": (
        stack(everywhere(webstack_sites=[{**SITE, "redirect_from": ["example.com"]}], webstack_domain="example.com")),
        "lb1: webstack_domain = 'example.com' is in the domains of none of webstack_sites, and the proof asks for "
        "it: set it to one of them, as shop.example.com.",
    ),
    "site domain": (
        stack(sites({**SITE, "redirect_from": ["shop_old.example.com"]})),
        "lb1: webstack_sites: 'shop_old.example.com' of shop is not a host name: "
        "use letters, digits, '-' and '.', as in www.example.com.",
    ),
    "one domain, two sites": (
        stack(sites(SITE, {**SITE, "name": "blog", "domains": ["blog.example.com", "SHOP.example.com"]})),
        "lb1: webstack_sites: shop.example.com belongs to shop and to blog: leave it to one.",
    ),
    "ACME terms": (
        stack(acme(acme_terms_agreed=False)),
        "lb1: acme_terms_agreed is not true, and https://acme.example/directory gives an account only to those who "
        "agree to its terms of service: read them, and set acme_terms_agreed to true.",
    ),
    "ACME directory": (
        stack(acme(acme_directory_url="http://acme.example")),
        "lb1: acme_directory_url = 'http://acme.example' is not an https URL: name the authority's directory.",
    ),
    "ACME e-mail": (
        stack(acme(acme_email="ops")),
        "lb1: acme_email = 'ops' is not an e-mail address: correct it, or leave it empty.",
    ),
    "ACME trust": (
        stack(acme(acme_ca_bundle="/nowhere/ca.pem")),
        "lb1: acme_ca_bundle = '/nowhere/ca.pem' is not a file on the control node: name one.",
    ),
    "ACME for a short name": (
        stack(acme({**SITE, "redirect_from": ["intranet"]})),
        "lb1: webstack_sites: 'intranet' of shop is not a full host name, and an ACME authority issues nothing for it: "
        "use one, or another certificate_source for the site.",
    ),
    "ACME for an address": (
        stack(acme({**SITE, "redirect_from": ["192.0.2.11"]})),
        "lb1: webstack_sites: '192.0.2.11' of shop is not a full host name, and an ACME authority issues nothing for "
        "it: use one, or another certificate_source for the site.",
    ),
    "ACME port": (
        stack(acme(**listens("java", 8402))),
        "lb1: port 8402 (webstack_acme_port) is taken by java on 0.0.0.0: stop it, or set webstack_acme_port to a free "
        "port.",
    ),
    "ACME port of another service": (
        stack(acme(webstack_acme_port=8404)),
        f"lb1: webstack_acme_port and webstack_haproxy_admin_port are both 8404 on this host, as a member of "
        f"haproxy: {PORTS_FIX}",
    ),
    "authorities": (
        stack(sites(SITE, webstack_certificate_authorities="/nowhere/ca.pem")),
        "lb1: webstack_certificate_authorities = '/nowhere/ca.pem' is not a file on the control node: name one.",
    ),
    "no answer": (
        stack({"web1": {"__webstack_survey": {"unreachable": True, "msg": "Connection\n  refused."}}}),
        "web1: did not answer (Connection refused): start it, correct its ansible_host, "
        "leave it out by --limit '!web1', or remove it from the inventory.",
    ),
    "no survey": (
        stack({"web1": {"__webstack_survey": {}}}),
        "web1: did not answer (no answer): start it, correct its ansible_host, leave it out by --limit '!web1', "
        "or remove it from the inventory.",
    ),
    "no facts": (
        stack({"web1": {"ansible_facts": {}, "webstack_address": ""}}),
        "web1: did not answer (when its facts were gathered, a moment before the survey): start it, correct its "
        "ansible_host, leave it out by --limit '!web1', or remove it from the inventory.",
    ),
    "not a choice": (
        stack({"lb1": {"haproxy_balance": "random"}}),
        "lb1: value of haproxy_balance must be one of: roundrobin, leastconn, source, got: random "
        "(see 'ansible-doc -t role pentad.webstack.haproxy').",
    ),
    "an option of an option": (
        stack({"lb1": {"haproxy_servers": [{"name": "web1", "address": "192.0.2.21"}]}}),
        "lb1: missing required arguments: port found in haproxy_servers "
        "(see 'ansible-doc -t role pentad.webstack.haproxy').",
    ),
    "an account without a name": (
        stack({"db1": {"mysql_primary_accounts": [{"host": "%"}]}}),
        "db1: missing required arguments: name found in mysql_primary_accounts "
        "(see 'ansible-doc -t role pentad.webstack.mysql_primary').",
    ),
    "no address": (
        stack({"web1": {"webstack_address": ""}}),
        "web1: webstack_address is not set and the node has no default route: set it to the node's address.",
    ),
    "not an address": (
        stack({"web1": {"webstack_address": "web1.local"}}),
        "web1: webstack_address = 'web1.local' is not an IP address: set it to the one the other nodes reach.",
    ),
    "one address twice": (
        stack({"web1": {"webstack_address": "192.0.2.99"}, "db1": {"webstack_address": "192.0.2.99"}}),
        "webstack_address = 192.0.2.99 belongs to web1, db1: every host needs an address of its own.",
    ),
    "an address that is spelled otherwise": (
        six(web1={"webstack_address": "FD00:0::21"}),
        "web1: webstack_address = 'FD00:0::21' is not how the node itself writes it: set it to 'fd00::21'.",
    ),
    "an address of IPv4 in IPv6": (
        six(web1={"webstack_address": "::ffff:192.0.2.21"}),
        "web1: webstack_address = '::ffff:192.0.2.21' is not how the node itself writes it: set it to '192.0.2.21'.",
    ),
    "an address of the link": (
        six(web1={"webstack_address": "fe80::21"}),
        "web1: webstack_address = 'fe80::21' is no address by which other nodes reach it: "
        "set it to one of the node's network.",
    ),
    "the loopback": (
        stack({"web1": {"webstack_address": "127.0.0.1"}}),
        "web1: webstack_address = '127.0.0.1' is no address by which other nodes reach it: "
        "set it to one of the node's network.",
    ),
    "two protocols": (
        stack({"web1": {"webstack_address": "fd00::21"}}),
        "webstack_address is one of IPv4 on lb1, web2, db1, db2 and one of IPv6 on web1, and the nodes know each other "
        "by one protocol: set webstack_address of all of them to addresses of the same one.",
    ),
    "an address of another machine": (
        stack({"web1": {**has("127.0.0.1", "198.51.100.21", "fd00::21"), "webstack_address": "192.0.2.99"}}),
        "web1: webstack_address = '192.0.2.99' is on none of the node's interfaces, which have 198.51.100.21, "
        "fd00::21: set it to one of these, or add it to an interface.",
    ),
    "a public address": (
        stack({"db1": {"webstack_address": "8.8.8.8"}}),
        "db1: webstack_address = '8.8.8.8' is a public address, and what is meant for the other nodes alone would "
        f"listen on it (ports {', '.join(map(str, INNER_PORTS))}): set webstack_address to a private address of the "
        "node, or, where a firewall keeps these ports for the nodes, webstack_accept_public_address to true.",
    ),
    "a server_id of two": (
        stack({"db1": {"mysql_server_id": 7}, "db2": {"mysql_server_id": 7}}),
        "mysql_server_id = 7 belongs to db1, db2, and every server needs one of its own: set mysql_server_id of db2 to "
        "another number from 1 to 4294967295.",
    ),
    "a server_id that is none": (
        stack({"db1": {"mysql_server_id": 0}}),
        "db1: mysql_server_id = 0 is none: use a number from 1 to 4294967295.",
    ),
    "a server_id that is too large": (
        stack({"db1": {"mysql_server_id": 2**32}}),
        "db1: mysql_server_id = 4294967296 is none: use a number from 1 to 4294967295.",
    ),
    "an address for a name": (
        stack(all=[*GROUPS["all"], "fd00::21"]),
        "fd00::21: this name of the inventory cannot be that of a server: use letters, digits, '-', '.' and '_', and "
        "give the node's address as ansible_host.",
    ),
    "an authority with a long name": (
        stack({"web1": {"pki_ca_common_name": "a" * 65}}),
        f"web1: pki_ca_common_name = '{'a' * 65}' has 65 characters, and certificates have room for 64: choose a "
        "shorter one.",
    ),
    "domain": (stack({"db1": {"webstack_domain": "www_foo"}}), f"db1: webstack_domain = 'www_foo' {DOMAIN_FIX}"),
    "label": (
        stack({"db1": {"webstack_domain": "a" * 64 + ".example"}}),
        f"db1: webstack_domain = '{'a' * 64}.example' {DOMAIN_FIX}",
    ),
    "dash": (
        stack({"db1": {"webstack_domain": "www-.example"}}),
        f"db1: webstack_domain = 'www-.example' {DOMAIN_FIX}",
    ),
    "account": (stack({"web1": {"webstack_app_name": "Shop"}}), f"web1: webstack_app_name = 'Shop' {ACCOUNT_FIX}"),
    "long account": (
        stack({"web1": {"webstack_app_name": "a" * 32}}),
        f"web1: webstack_app_name = '{'a' * 32}' {ACCOUNT_FIX}",
    ),
    "database": (
        stack({"lb1": {"webstack_app_database": "my-shop"}}),
        "lb1: webstack_app_database = 'my-shop' is not usable: letters, digits and '_', at most 64.",
    ),
    "long user": (
        stack({"lb1": {"webstack_app_user": "u" * 33}}),
        f"lb1: webstack_app_user = '{'u' * 33}' is not usable: letters, digits and '_', at most 32.",
    ),
    "source": (
        stack({"web1": {"app_server_source": "/nowhere/app"}}),
        "web1: app_server_source = '/nowhere/app' is not a directory on the control node: name the application's.",
    ),
    "port 0": (
        stack({"lb1": {"webstack_site_port": 0}}),
        "lb1: webstack_site_port = 0 is not a port: use 1 to 65535.",
    ),
    "port too high": (
        stack({"lb1": {"webstack_site_port": 65536}}),
        "lb1: webstack_site_port = 65536 is not a port: use 1 to 65535.",
    ),
    "two services": (
        stack({"lb1": {"webstack_prometheus_port": 80}}),
        f"lb1: webstack_prometheus_port and webstack_site_port are both 80 on this host, as a member of "
        f"monitoring and haproxy: {PORTS_FIX}",
    ),
    "a database on a web node": (
        stack(mysql=["db1", "db2", "web1"], mysql_replica=["db2", "web1"]),
        "web1: webstack_mysql_port and webstack_primary_endpoint_port are both 3306 on this host, as a member of mysql "
        f"and web: {PORTS_FIX}",
    ),
    "two ports of one program": (
        stack({"web1": {"webstack_replica_endpoint_port": 3306}}),
        "web1: webstack_replica_endpoint_port and webstack_primary_endpoint_port are both 3306 on this host, as a "
        "member of web: " + PORTS_FIX,
    ),
    "stranger": (
        stack({"lb1": listens("apache2", 80)}),
        "lb1: port 80 (webstack_site_port) is taken by apache2 on 0.0.0.0: "
        "stop it, or set webstack_site_port to a free port.",
    ),
    "stranger on all IPv6 addresses": (
        stack({"web1": listens("apache2", 8080, "::")}),
        "web1: port 8080 (webstack_web_port) is taken by apache2 on ::: "
        "stop it, or set webstack_web_port to a free port.",
    ),
    "unknown stranger": (
        stack({"web2": listens("", 3307, "127.0.0.1")}),
        "web2: port 3307 (webstack_replica_endpoint_port) is taken by another process on 127.0.0.1: "
        "stop it, or set webstack_replica_endpoint_port to a free port.",
    ),
    "masked unit": (
        stack(
            {
                "web2": {
                    "__webstack_survey": {"listeners": [], "database": {}, "services": {"masked": ["nginx.service"]}}
                }
            }
        ),
        "web2: nginx.service is masked, so that nothing can start it, and the stack runs it there: "
        "run 'systemctl unmask nginx.service' on web2, or take the node out of the group that runs it.",
    ),
    "other system": (stack({"web1": system("Fedora", "42")}), f"web1: Fedora 42 {SYSTEM_FIX}"),
    "old system": (stack({"web1": system("Debian", "11")}), f"web1: Debian 11 {SYSTEM_FIX}"),
    "like a version": (stack({"web1": system("Debian", "120")}), f"web1: Debian 120 {SYSTEM_FIX}"),
    "interim Ubuntu": (stack({"web1": system("Ubuntu", "24.10")}), f"web1: Ubuntu 24.10 {SYSTEM_FIX}"),
    "data of the other engine": (
        stack({"db1": holds(engine="mariadb", version="11.8.1")}),
        "db1: webstack_mysql_engine = 'mysql', but /var/lib/mysql holds data of mariadb: "
        "set webstack_mysql_engine to mariadb, or move the data away.",
    ),
    "MySQL too old": (
        stack({"db1": holds(engine="mysql", version="5.7.44")}),
        "db1: mysql 5.7.44 is installed and versions from 8.0 up to but not 10.0 are supported.",
    ),
    "MariaDB too new": (
        stack(mariadb(db2=holds(engine="mariadb", version="12.0.2"))),
        "db2: mariadb 12.0.2 is installed and versions from 10.11 up to but not 12.0 are supported.",
    ),
    "no source of MySQL": (
        stack({"db2": {"mysql_server_repositories": []}}),
        "db2: webstack_mysql_engine = 'mysql', which Debian does not package: "
        "name a source in mysql_server_repositories, or use mariadb.",
    ),
    "one UUID, two sets of data": (
        stack({host: holds(engine="mysql", server_uuid="u-1", schemas=["shop"]) for host in ("db1", "db2")}),
        "db1, db2: hold data and share the server UUID u-1: stop the server on all but one of them, "
        "remove /var/lib/mysql/auto.cnf there and start it again.",
    ),
    "one UUID, data in two places": (
        stack(
            {
                host: holds(engine="mysql", server_uuid="u-1", schemas=["shop"], datadir=datadir)
                for host, datadir in (("db1", "/var/lib/mysql"), ("db2", "/srv/mysql"))
            }
        ),
        "db1, db2: hold data and share the server UUID u-1: stop the server on all but one of them, "
        "remove /srv/mysql/auto.cnf or /var/lib/mysql/auto.cnf there and start it again.",
    ),
}


@pytest.mark.parametrize(("given", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named_with_host_variable_value_and_fix(given, problem):
    assert contract.problems(given, []) == [problem]


def test_inner_ports_are_those_of_services_and_of_exporters():
    assert {3306, 3380, 9100, 9104} <= set(INNER_PORTS)


def test_a_value_of_the_wrong_kind_is_named_with_what_it_has_to_be():
    assert contract.problems(stack({"web2": {"nginx_worker_connections": "many"}}), []) == [
        "web2: nginx_worker_connections = 'many' is text, not a whole number: give it a whole number, as 4096 "
        "(see 'ansible-doc -t role pentad.webstack.nginx')."
    ]


def test_a_value_of_the_wrong_type_is_refused_with_how_to_write_it():
    assert contract.problems(stack({"web2": {"nginx_worker_connections": "64"}}), []) == [
        "web2: nginx_worker_connections = '64' is text, not a whole number: write nginx_worker_connections: 64 in the "
        "inventory, or -e '{\"nginx_worker_connections\": 64}' on the command line "
        "(see 'ansible-doc -t role pentad.webstack.nginx')."
    ]


def named(*names: str, extra: tuple[str, ...] = (), **changes: Any) -> contract.Stack:
    """The five nodes, where the inventory gives web1 variables of these names, and the command line the others."""
    found = stack({"web1": changes})
    found.named, found.extra = {"web1": names}, extra
    return found


def test_a_name_that_no_role_has_is_refused_with_the_nearest_one():
    found = contract.problems(named("haproxy_blance", extra=("webstack_mysql_engin",)), [])
    assert sorted(found, reverse=True) == [
        "web1: haproxy_blance is no variable of pentad.webstack, and would be ignored: it is nearest to "
        "haproxy_balance, so correct it; or name it in webstack_other_variables, if it is of something else.",
        "-e: webstack_mysql_engin is no variable of pentad.webstack, and would be ignored: it is nearest to "
        "webstack_mysql_engine, so correct it; or name it in webstack_other_variables, if it is of something else.",
    ]


def test_an_unknown_name_of_many_hosts_is_one_problem():
    found = stack()
    found.named = dict.fromkeys(found.hosts, ["pki_dayz"])
    [problem] = contract.problems(found, [])
    assert problem.startswith("lb1, web1, web2, db1, db2: pki_dayz is no variable of pentad.webstack")


def test_an_old_name_is_refused_with_the_new_one_wherever_it_is_set():
    found = named("nginx_public_port", extra=("app_server_workers",), webstack_other_variables=["nginx_vhosts*"])
    assert contract.problems(found, []) == [
        "-e: app_server_workers is called webstack_app_workers now, and would be ignored: rename it.",
        "web1: nginx_public_port is called webstack_public_https_port now, and would be ignored: rename it.",
    ]


def test_an_old_name_is_none_of_ours_and_the_new_one_is():
    known = {name for options in SPECS.values() for name in options}
    assert variable_names.RENAMED.keys() & known == set()
    assert set(variable_names.RENAMED.values()) <= known


def test_an_old_name_that_is_of_something_else_is_accepted():
    assert contract.problems(named("nginx_public_port", webstack_other_variables=["nginx_public_port"]), []) == []


@pytest.mark.parametrize("role", sorted({*SPECS, "webstack"}))
def test_names_with_the_prefix_of_any_role_are_judged(role):
    [problem] = contract.problems(named(f"{role}_xyzzy_plugh_7"), [])
    assert f"web1: {role}_xyzzy_plugh_7 is no variable of pentad.webstack" in problem


@pytest.mark.parametrize(
    "name", ["webstack_site", "webstack_known", "webstack_trust", "webstack_acme_sites", "webstack_packages",
             "webstack_authority", "webstack_public_port", "webstack_mysql_pki_dir"]
)  # fmt: skip
def test_what_roles_would_override_in_silence_is_refused(name):
    assert len(contract.problems(named(extra=(name,)), [])) == 1


def test_names_of_ours_and_of_others_are_accepted():
    known = [name for options in SPECS.values() for name in options]
    assert (
        contract.problems(named(*known, "lab_mysql_repository", "ansible_user", "web", "mysql_root", "domain"), [])
        == []
    )
    assert contract.problems(named("nginx_vhosts", webstack_other_variables=["nginx_vh*"]), []) == []


def test_every_problem_is_told_at_once_and_once():
    given = stack(
        {
            "lb1": {"haproxy_balance": "random", "webstack_address": "192.0.2.11"},
            "web1": {"__webstack_survey": {"unreachable": True, "msg": "timed out"}},
            "db1": {**holds(engine="mariadb"), **system("Debian", "10")},
            **{host: {"webstack_app_name": "a b"} for host in ("web2", "db2")},
        }
    )
    found = contract.problems(given, [])
    assert len(found) == len(set(found)) == 7
    for part in ("haproxy_balance", "192.0.2.11 belongs to lb1, web1", "web1: did not answer", "holds data of mariadb"):
        assert sum(part in problem for problem in found) == 1, part
    assert any("Debian 10 is not supported" in problem for problem in found)
    assert [problem.split(":")[0] for problem in found if "webstack_app_name" in problem] == ["web2", "db2"]


def test_a_node_that_did_not_answer_is_not_judged_by_what_it_did_not_say():
    silent = {"__webstack_survey": {"unreachable": True}, "ansible_facts": {}, "webstack_address": ""}
    found = contract.problems(stack({"db1": silent}), [])
    assert found == [
        "db1: did not answer (no answer): start it, correct its ansible_host, leave it out by --limit '!db1', "
        "or remove it from the inventory."
    ]


@pytest.mark.parametrize(
    ("surveys", "renewed"),
    [
        ({"db1": {"server_uuid": "u"}, "db2": {"server_uuid": "u"}}, ["db2"]),
        ({"db1": {"server_uuid": "u"}, "db2": {"server_uuid": "u", "schemas": ["shop"]}}, ["db1"]),
        ({"db1": {"server_uuid": "u"}, "db2": {"server_uuid": "v"}}, []),
        ({"db1": {"server_uuid": ""}, "db2": {"server_uuid": ""}}, []),
    ],
)
def test_the_server_that_holds_data_keeps_its_uuid(surveys, renewed):
    given = stack({host: holds(**survey) for host, survey in surveys.items()})
    assert contract.duplicated_uuids(given) == (renewed, [])


@pytest.mark.parametrize(
    ("name", "mode", "directory_mode", "exposed"),
    [
        ("app", 0o600, 0o755, False),
        ("app", 0o640, 0o755, True),
        ("app", 0o604, 0o755, True),
        ("app", 0o644, 0o700, False),
        ("ca.pem", 0o644, 0o755, False),
    ],
)
def test_generated_secrets_are_closed_to_others(tmp_path, name, mode, directory_mode, exposed):
    state = tmp_path / ".webstack"
    secrets = state / "secrets"
    secrets.mkdir(parents=True)
    secrets.chmod(directory_mode)
    state.chmod(0o755)
    secret = secrets / name
    secret.write_text("secret")
    secret.chmod(mode)
    expected = [
        f"webstack_state_dir: {secret} has mode {mode:04o} and others can read it: chmod -R go= {state}"
    ] * exposed
    assert contract.problems(stack(), [state]) == expected


def test_one_state_directory_is_for_all_hosts(tmp_path):
    one, other = tmp_path / "a", tmp_path / "b"
    (found,) = contract.problems(stack(), [other, one])
    assert found == (
        f"webstack_state_dir is {one} and {other}, by hosts of several inventory sources, and there is one authority "
        f"for all: set it once, as -e webstack_state_dir={one}"
    )


def test_a_state_directory_that_is_not_there_yet_is_no_problem(tmp_path):
    assert contract.problems(stack(), [tmp_path / "absent"]) == []


def test_every_role_is_judged_by_its_specs_somewhere():
    judged = {role for roles in contract.ROLES_OF_GROUP.values() for role in roles}
    # The proof runs after everything else, and its variables are its own.
    assert judged | {"proof"} >= set(SPECS)


def test_a_port_that_is_no_number_is_named_and_confuses_nothing_else():
    found = contract.problems(stack({"lb1": {"webstack_site_port": "many"}}), [])
    assert found
    assert all(problem.startswith("lb1: webstack_site_port = 'many' is text, not") for problem in found)


WITH_ROLES = [(role, sorted(options)) for role, options in SPECS.items() if options]


def of_the_wrong_type(value: Any, option: dict[str, Any]) -> bool:
    """Whether a value can in no way be read as the type of an option."""
    return any(value_types.refused(value, option, value))


@pytest.mark.parametrize(("role", "names"), WITH_ROLES, ids=[role for role, _names in WITH_ROLES])
def test_whatever_a_variable_holds_is_told_and_stops_no_judge(role, names):
    for name in names:
        for value in (None, [], {}, "text", -1, [1], {"a": 1}, [[None]], [{"servers": "text", "domains": [None]}]):
            found = contract.problems(stack(everywhere(**{name: value})), [])
            if value is None or of_the_wrong_type(value, SPECS[role][name]):
                assert any(name in problem for problem in found), f"{name} = {value!r}: {found}"


def test_null_inside_of_a_site_is_told_and_stops_no_judge():
    for option in SPECS["variables"]["webstack_sites"]["options"]:
        found = contract.problems(stack(everywhere(webstack_sites=[{**SITE, option: None}])), [])
        assert any(option in problem for problem in found), option


def test_a_site_without_what_it_needs_is_named_on_every_host_that_sees_it():
    found = contract.problems(stack(everywhere(webstack_sites=[{"name": "shop"}])), [])
    assert found == [
        f"{host}: missing required arguments: domains found in webstack_sites "
        "(see 'ansible-doc -t role pentad.webstack.variables')."
        for host in GROUPS["all"]
    ]


def test_sites_are_made_of_nothing_that_one_role_alone_knows():
    shop = {**SITE, "domains": ["{{ lab_domain }}"], "servers": "{{ haproxy_servers }}"}
    assert list(contract.check_site_templates(stack(sites(shop)))) == [
        "lb1: webstack_sites is made of haproxy_servers, which is not set, and its default exists in one role alone: "
        "leave out what only repeats the default, or set haproxy_servers."
    ]
    assert list(contract.check_site_templates(stack(sites(shop, haproxy_servers=[])))) == []
