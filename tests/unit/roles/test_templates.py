# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration as Ansible renders it, from the roles' own defaults and from other values.

Whether the programs accept the result is seen on the nodes, where the programs are.
"""

from __future__ import annotations

import json
import re
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.plugin_utils.agreement_contract import PROXIES
from ansible_collections.pentad.webstack.plugins.plugin_utils.inventory_contract import BESIDE
from rendering import ADDRESSES, MANAGED, Cases, render

SERVERS = [{"name": "shop1", "address": "192.0.2.41", "port": 9000}, {"name": "shop2", "address": "::1", "port": 9001}]
SHOP = {
    "name": "shop",
    "domains": ["shop.example.com", "SHOP.example.org"],
    "servers": SERVERS,
    "balance": "source",
    "strategy": "active-passive",
    "health_path": "/up",
}
BLOG = {"name": "blog", "domains": ["blog.example.com"], "servers": [*SERVERS[:1], {**SERVERS[1], "backup": True}]}
OTHERS = [
    {"name": "plain", "address": "192.0.2.51", "port": 80, "tls": False},
    {
        "name": "other",
        "address": "192.0.2.52",
        "port": 443,
        "verify_host": "origin.example.net",
        "ca_file": "@system-ca",
    },
]
QUEUE = {
    "name": "queue",
    "port": 5672,
    "servers": [SERVERS[0], {**SERVERS[1], "backup": True}],
}
LIMITS = {
    "webstack_app_shared_directories": ["uploads"],
    "app_server_memory_max": "512M",
    "app_server_cpu_quota": "150%",
    "app_server_tasks_max": "64",
}
STREAMS = {
    "webstack_stream_paths": ["/feed/"],
    "webstack_stream_idle_timeout": "20m",
    "webstack_stream_reload_timeout": "5m",
}
CASES: Cases = {
    "lb1": {
        "default": ("haproxy", "haproxy.cfg.j2", {}),
        "active-passive": ("haproxy", "haproxy.cfg.j2", {"haproxy_strategy": "active-passive"}),
        "leastconn": ("haproxy", "haproxy.cfg.j2", {"haproxy_balance": "leastconn"}),
        "sites": ("haproxy", "haproxy.cfg.j2", {"webstack_sites": [BLOG, SHOP]}),
        "certificates": ("haproxy", "certificates.j2", {"webstack_sites": [BLOG, SHOP]}),
        "site without servers": (
            "haproxy",
            "haproxy.cfg.j2",
            {"webstack_sites": [BLOG, {"name": "shop", "domains": ["shop.example.com"]}]},
        ),
        "servers": ("haproxy", "haproxy.cfg.j2", {"haproxy_servers": OTHERS}),
        "public port": ("haproxy", "haproxy.cfg.j2", {"webstack_public_https_port": 8443}),
        "both protocols": ("haproxy", "haproxy.cfg.j2", {"ansible_facts": {"all_ipv6_addresses": ["fd00::11"]}}),
        "one address": ("haproxy", "haproxy.cfg.j2", {"haproxy_site_address": "fd00::11"}),
        "prometheus": ("monitoring", "prometheus.yml.j2", {"monitoring_address": "fd00::11"}),
        "limited": (
            "haproxy",
            "haproxy.cfg.j2",
            {"haproxy_rate_limit": 100, "haproxy_rate_limit_allow": ["192.0.2.0/24"]},
        ),
        "hosts": (
            "haproxy",
            "haproxy.cfg.j2",
            {"haproxy_additional_hosts": ["192.0.2.80", "2001:DB8::80", "Intern", "www.example.com"]},
        ),
        "streams": ("haproxy", "haproxy.cfg.j2", STREAMS),
        "many threads": ("haproxy", "haproxy.cfg.j2", {"webstack_app_workers": 4, "webstack_app_threads": 16}),
        "asgi": ("haproxy", "haproxy.cfg.j2", {"webstack_app_asgi": "pages:app"}),
        "node": ("haproxy", "haproxy.cfg.j2", {"webstack_app_runtime": "node"}),
        "few at once": ("haproxy", "haproxy.cfg.j2", {"haproxy_server_maxconn": 7, "haproxy_server_queue": 5}),
        "page": ("haproxy", "error.html.j2", {"error_title": "Gone", "error_text": "50 % of it"}),
        "hsts": ("haproxy", "haproxy.cfg.j2", {"haproxy_hsts_seconds": 300}),
        "acme": ("haproxy", "haproxy.cfg.j2", {"webstack_sites": [BLOG, {**SHOP, "certificate_source": "acme"}]}),
        "files": ("haproxy", "haproxy.cfg.j2", {"webstack_certificate_source": "files"}),
        "tcp": ("haproxy", "haproxy.cfg.j2", {"webstack_sites": [], "haproxy_tcp_services": [QUEUE]}),
        "timeouts": ("haproxy", "haproxy.cfg.j2", {"haproxy_timeouts": {"connect": "7s", "tunnel": "2h"}}),
    },
    "web1": {
        "haproxy": ("haproxy", "haproxy.cfg.j2", {}),
        "haproxy sites": ("haproxy", "haproxy.cfg.j2", {"webstack_sites": [BLOG, SHOP]}),
        "nginx": ("nginx", "nginx.conf.j2", {}),
        "nginx other": (
            "nginx",
            "nginx.conf.j2",
            {
                "webstack_address": "2001:db8::21",
                "nginx_upstream": "127.0.0.1:5000",
                "nginx_static_path": "/assets/",
                "nginx_static_root": "/srv/assets",
                "nginx_trusted_proxies": ["192.0.2.0/28", "2001:db8::/64"],
                "nginx_client_max_body_size": "1g",
            },
        ),
        "nginx php": (
            "nginx",
            "nginx.conf.j2",
            {"webstack_app_runtime": "php", "webstack_app_shared_directories": ["public/uploads", "cache"]},
        ),
        "nginx streams": ("nginx", "nginx.conf.j2", STREAMS),
        "nginx php scripts": (
            "nginx",
            "nginx.conf.j2",
            {"webstack_app_runtime": "php", "webstack_app_front_controller": ""},
        ),
        "nginx public port": ("nginx", "nginx.conf.j2", {"webstack_public_https_port": 8443}),
        "nginx php public port": (
            "nginx",
            "nginx.conf.j2",
            {"webstack_public_https_port": 8443, "webstack_app_runtime": "php"},
        ),
        "nginx node": ("nginx", "nginx.conf.j2", {"webstack_app_runtime": "node", "webstack_app_port": 3000}),
        "service asgi": (
            "app_server",
            "service.j2",
            {"webstack_app_asgi": "pages:app", "app_server_lock": "l", **LIMITS},
        ),
        "service php": ("app_server", "service.j2", {"webstack_app_runtime": "php"}),
        "service node": (
            "app_server",
            "service.j2",
            {"webstack_app_runtime": "node", "app_server_command": ["node", "a b.js"]},
        ),
        "service socket": (
            "app_server",
            "service.j2",
            {
                "webstack_app_runtime": "command",
                "webstack_app_listen": "socket",
                "app_server_command": ["serve", "--listen={socket}"],
            },
        ),
        "background": ("app_server", "background.j2", {"unit": {"name": "mail", "command": ["mail", "50%"]}, **LIMITS}),
        "timed": ("app_server", "timed-service.j2", {"unit": {"name": "tidy", "command": ["tidy"]}, **LIMITS}),
        "timer": ("app_server", "timed-timer.j2", {"unit": {"name": "tidy", "on_calendar": "hourly"}}),
        "service": ("app_server", "service.j2", {}),
        "socket": ("app_server", "socket.j2", {}),
        "environment": (
            "app_server",
            "environment.j2",
            {
                "webstack_app_password": "p@ss/w:rd?#%",
                "app_server_environment": {"LOG_LEVEL": "debug", "MOTTO": 'say "no" \\ yes', "WORKERS": 3},
            },
        ),
    },
    "db1": {
        "mysql": ("mysql_server", "server.cnf.j2", {}),
        "mariadb": ("mysql_server", "server.cnf.j2", {"webstack_mysql_engine": "mariadb"}),
        "settings": (
            "mysql_server",
            "server.cnf.j2",
            {
                "mysql_server_settings": {
                    "max-connections": 7,
                    "slow_query_log": True,
                    "skip-name-resolve": None,
                    "sql_mode": "",
                    "Replica_Net_Timeout": 20,
                }
            },
        ),
        "semi-sync": ("mysql_server", "server.cnf.j2", {"webstack_semi_sync": True, "webstack_semi_sync_timeout": 3}),
        "semi-sync of mariadb": (
            "mysql_server",
            "server.cnf.j2",
            {
                "webstack_mysql_engine": "mariadb",
                "webstack_semi_sync": True,
                "webstack_semi_sync_unanswered": "wait",
                "webstack_semi_sync_wait_point": "AFTER_COMMIT",
            },
        ),
        "health": ("mysql_health", "mysql-health.json.j2", {}),
        "verdict": ("mysql_health", "verdict.json.j2", {"mysql_health_policy": {"max_lag": 5}}),
        "delayed verdict": (
            "mysql_health",
            "verdict.json.j2",
            {"mysql_replica_delay": "3600", "webstack_semi_sync": True},
        ),
    },
}


@pytest.fixture(scope="session")
def rendered(top, tmp_path_factory):
    """What each case became, by host."""
    return render(top, tmp_path_factory.mktemp("templates"), CASES)


def lines(text: str) -> list[str]:
    """Lines without indentation and comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def section(text: str, header: str) -> list[str]:
    """Lines of one section of haproxy.cfg."""
    found = re.search(rf"^{re.escape(header)}\n((?:    .*\n|\n(?=    ))*)", text + "\n", re.MULTILINE)
    assert found, f"there is no '{header}'"
    return lines(found[1])


def verified(name: str) -> str:
    """How a server is spoken to that has to prove this name."""
    return f" ssl verify required ca-file /etc/ssl/webstack/ca.pem verifyhost {name}"


def sections(text: str) -> list[str]:
    """Headers of the sections of haproxy.cfg."""
    return [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]


def check(path: str, host: str) -> str:
    """How the balancer asks a web node for its health."""
    return f"http-check send meth GET uri {path} ver HTTP/1.1 hdr Host {host} hdr X-Forwarded-Proto https"


def test_nothing_is_left_unrendered(rendered):
    for host, cases in rendered.items():
        for name, text in cases.items():
            assert not re.search(r"\{\{|\}\}|\{%|\bNone\b|\bundefined\b", text), (host, name)


def test_every_file_says_that_it_is_managed_in_comments_alone(rendered):
    texts = [text for cases in rendered.values() for text in cases.values() if text[0] not in "{<"]
    assert {tuple(text.splitlines()[: len(MANAGED)]) for text in texts} == {tuple(f"# {line}" for line in MANAGED)}


def test_templates_say_it_by_the_one_variable_that_makes_comments_of_it(top):
    templates = {path: path.read_text() for path in (top / "roles").glob("*/templates/*")}
    assert [path for path, text in templates.items() if "ansible_managed" in text] == []
    saying = re.compile(r"^.*__webstack_managed.*$", re.MULTILINE)
    used = {line for text in templates.values() for line in saying.findall(text)}
    assert used == {"{{ __webstack_managed }}", '{{ __webstack_managed | regex_replace("(?m)^#", ";") }}'}


def test_a_balancer_serves_the_site_and_no_database(rendered):
    text = rendered["lb1"]["default"]
    assert sections(text) == [
        "global", "defaults", "frontend admin", "frontend http", "frontend sites", "backend site",
        "backend site-streams",
        "backend site-static",
    ]  # fmt: skip
    frontend = section(text, "frontend sites")
    assert [line.split(" curves ")[0] for line in frontend if line.startswith("bind ")] == [
        "bind *:443 ssl crt-list /etc/haproxy/certificates/list alpn h2,http/1.1"
    ]
    assert "http-request set-header X-Forwarded-Proto https" in frontend
    assert "use_backend site if { var(txn.host) -m str www.example.com example.com }" in frontend
    assert frontend[-3:] == [
        "use_backend site-streams if stream",
        "use_backend site-static if static",
        "default_backend site",
    ]


def test_a_node_with_ipv6_serves_the_site_by_both_protocols(rendered):
    for case, addresses in (("both protocols", "*:{0},[::]:{0} v6only"), ("one address", "[fd00::11]:{0}")):
        assert f"bind {addresses.format(80)}" in section(rendered["lb1"][case], "frontend http")
        [https] = [line for line in section(rendered["lb1"][case], "frontend sites") if line.startswith("bind ")]
        assert https.startswith(f"bind {addresses.format(443)} ssl ")


def test_prometheus_asks_addresses_of_ipv6(rendered):
    config = yaml.safe_load(rendered["lb1"]["prometheus"])
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["[fd00::11]:9093"]
    jobs = {job["job_name"]: job["static_configs"] for job in config["scrape_configs"]}
    assert jobs["prometheus"] == [{"targets": ["[fd00::11]:9090"], "labels": {"instance": "lb1"}}]
    assert jobs["mysql"][0]["targets"] == ["192.0.2.31:9104"]


def test_plain_http_leads_to_https(rendered):
    for case, port in (("default", ""), ("public port", ":8443")):
        frontend = section(rendered["lb1"][case], "frontend http")
        assert "bind *:80" in frontend
        where = f"location https://%[var(txn.host)]{port}%[pathq]"
        assert [line for line in frontend if "redirect" in line] == [
            f"http-request redirect {where} code 301 if METH_GET",
            f"http-request redirect {where} code 308 if !METH_GET",
        ]
        assert not [line for line in frontend if "challenge" in line or "backend" in line]


def test_challenges_go_to_the_acme_clients_of_all_balancers(rendered):
    frontend = section(rendered["lb1"]["acme"], "frontend http")
    assert "acl challenge path -m reg ^/[.]well-known/acme-challenge/[A-Za-z0-9_-]+$" in frontend
    passed = frontend.index("http-request allow if METH_GET challenge")
    misdirected = [number for number, line in enumerate(frontend) if "return status 421" in line]
    assert misdirected[0] < passed < frontend.index(next(line for line in frontend if "redirect" in line))
    assert frontend[-1] == "default_backend acme-challenge"
    backend = section(rendered["lb1"]["acme"], "backend acme-challenge")
    assert {"retry-on all-retryable-errors 404", "option redispatch 1", "retries 10"} <= set(backend)
    assert [line for line in backend if line.startswith("server ")] == ["server lb1 192.0.2.11:8402"]
    for host, case in (("lb1", "sites"), ("web1", "haproxy")):
        assert "acme" not in rendered[host][case]


@pytest.mark.parametrize(
    ("case", "sites", "own"),
    [("default", ["site"], set(PROXIES) - {"acme-challenge"}), ("acme", ["blog", "shop"], set(PROXIES))],
)
def test_names_that_no_site_may_have_are_those_of_the_configuration(rendered, case, sites, own):
    headers = [line.split() for line in sections(rendered["lb1"][case])]
    named = [words[1] for words in headers if words[0] in ("frontend", "backend")]
    of_sites = {site + end for site in sites for end in ("", *BESIDE)}
    assert sorted(named) == sorted(own | of_sites)


def test_alerts_leave_out_the_backends_that_follow_a_site(top):
    rules = (top / "roles/monitoring/files/rules/haproxy.yml").read_text()
    left_out = [re.compile(found) for found in re.findall(r'proxy!~"([^"]+)"', rules)]
    assert left_out
    for pattern in left_out:
        assert [end for end in ("", "-other", *BESIDE) if pattern.fullmatch(f"site{end}")] == list(BESIDE)


def test_hosts_that_are_answered_are_those_of_all_sites_and_what_was_added(rendered):
    for frontend in ("http", "sites"):
        for case, names in (
            ("default", "www.example.com example.com"),
            ("hosts", "www.example.com example.com 192.0.2.80 [2001:db8::80] intern"),
            ("sites", "blog.example.com shop.example.com shop.example.org"),
        ):
            (rule,) = [line for line in section(rendered["lb1"][case], f"frontend {frontend}") if " 421 " in line]
            assert rule.endswith(f" unless {{ var(txn.host) -m str {names} }}")


def test_other_names_are_redirected_to_the_canonical_one(rendered):
    for case, port in (("default", ""), ("public port", ":8443")):
        assert check("/livez", f"www.example.com{port}") in section(rendered["lb1"][case], "backend site")
        frontend = section(rendered["lb1"][case], "frontend sites")
        condition = "{ var(txn.host) -m str example.com }"
        assert [line for line in frontend if "redirect" in line] == [
            f"http-request redirect prefix https://www.example.com{port} code 301 if METH_GET {condition}",
            f"http-request redirect prefix https://www.example.com{port} code 308 if !METH_GET {condition}",
        ]
    assert not [line for line in section(rendered["lb1"]["sites"], "frontend sites") if "redirect" in line]


def test_each_site_shows_a_certificate_of_its_own(rendered):
    assert lines(rendered["lb1"]["certificates"]) == [
        "/etc/haproxy/certificates/blog.pem blog.example.com",
        "/etc/haproxy/certificates/shop.pem shop.example.com shop.example.org",
    ]


def test_a_request_has_an_id_that_no_client_chooses(rendered):
    for frontend in ("http", "sites"):
        found = section(rendered["lb1"]["default"], f"frontend {frontend}")
        assert "unique-id-format %[uuid()]" in found
        assert "http-request set-header X-Request-ID %[unique-id]" in found
        assert "http-after-response set-header X-Request-ID %[unique-id]" in found
        assert [line for line in found if line.startswith("log-format ") and line.endswith(' request_id=%ID"')]
    nginx = lines(rendered["web1"]["nginx"])
    assert "proxy_set_header X-Request-ID $webstack_request_id;" in nginx
    assert "'request_id=$webstack_request_id';" in nginx


def test_nobody_is_limited_unless_it_is_asked_for(rendered):
    limit = "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 100 }"
    for case, expected in (("default", False), ("limited", True)):
        found = section(rendered["lb1"][case], "frontend sites")
        assert (limit in found) is expected
        assert any("stick-table" in line for line in found) is expected
    limited = section(rendered["lb1"]["limited"], "frontend sites")
    assert "acl unlimited src 127.0.0.0/8 ::1 192.0.2.0/24" in limited
    assert "http-request track-sc0 src,ipmask(32,64) unless unlimited" in limited


def test_maintenance_spares_health_and_who_is_allowed(rendered):
    found = section(rendered["lb1"]["default"], "frontend sites")
    assert "acl health path /readyz /livez" in found
    assert "acl maintenance_allowed src 127.0.0.0/8 ::1 192.0.2.11" in found
    (rule,) = [line for line in found if line.startswith("http-request return status 503")]
    assert rule.endswith("hdr Retry-After 300 if maintenance !maintenance_allowed !health")
    assert "acl health path /readyz /livez /up" in section(rendered["lb1"]["sites"], "frontend sites")


def test_each_error_has_a_page_that_says_what_and_which(rendered):
    found = section(rendered["lb1"]["default"], "frontend sites")
    assert [line.split()[2] for line in found if line.startswith("http-error status ")] == ["429", "502", "503", "504"]
    assert {"Gone", "50 % of it", "@request_id@"} <= set(
        re.findall(r"Gone|50 % of it|@request_id@", rendered["lb1"]["page"])
    )


def test_tls_is_as_mozilla_recommends(rendered):
    found = section(rendered["lb1"]["default"], "global")
    assert "ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets" in found
    (ciphers,) = [line.split()[1].split(":") for line in found if line.startswith("ssl-default-bind-ciphers ")]
    assert ciphers
    assert [cipher for cipher in ciphers if not re.fullmatch(r"ECDHE-.*(GCM-SHA\d+|CHACHA20-POLY1305)", cipher)] == []


@pytest.mark.parametrize(
    ("case", "expected"), [("default", []), ("hsts", ['"max-age=300"']), ("files", ['"max-age=15768000"'])]
)
def test_browsers_stay_with_https_where_they_trust_the_certificate(rendered, case, expected):
    frontend = section(rendered["lb1"][case], "frontend sites")
    assert [line.split()[-1] for line in frontend if "Strict-Transport-Security" in line] == expected
    assert "Strict-Transport-Security" not in "".join(section(rendered["lb1"][case], "frontend http"))


def test_all_web_nodes_take_requests_in_turn_and_are_checked(rendered):
    backend = section(rendered["lb1"]["default"], "backend site")
    assert "balance roundrobin" in backend
    assert "option httpchk" in backend
    assert check("/livez", "www.example.com") in backend
    assert "http-check expect status 200" in backend
    assert [line for line in backend if line.startswith("server ")] == [
        f"server web1 192.0.2.21:8080 check{verified('web1')}",
        f"server web2 192.0.2.22:8080 check{verified('web2')}",
    ]


def test_only_what_changes_nothing_is_tried_again(rendered):
    backend = section(rendered["lb1"]["default"], "backend site")
    assert "http-request disable-l7-retry unless METH_GET" in backend


def test_the_client_cannot_name_its_own_address(rendered):
    assert "http-request set-header X-Forwarded-For %[src]" in section(rendered["lb1"]["default"], "frontend sites")


def test_active_passive_makes_all_but_the_first_a_backup(rendered):
    servers = [line for line in section(rendered["lb1"]["active-passive"], "backend site") if "server web" in line]
    assert servers == [
        f"server web1 192.0.2.21:8080 check{verified('web1')}",
        f"server web2 192.0.2.22:8080 check{verified('web2')} backup",
    ]


def test_the_balance_can_be_chosen(rendered):
    assert "balance leastconn" in section(rendered["lb1"]["leastconn"], "backend site")


def test_a_server_has_to_prove_who_it_is_unless_the_site_says_otherwise(rendered):
    servers = [line for line in section(rendered["lb1"]["servers"], "backend site") if line.startswith("server ")]
    assert servers == [
        "server plain 192.0.2.51:80 check",
        "server other 192.0.2.52:443 check ssl verify required ca-file @system-ca verifyhost origin.example.net",
    ]


def test_a_site_that_names_no_servers_has_those_of_the_stack(rendered):
    text = rendered["lb1"]["site without servers"]
    shop = [line.split()[1:3] for line in section(text, "backend shop") if line.startswith("server ")]
    assert shop == [["web1", "192.0.2.21:8080"], ["web2", "192.0.2.22:8080"]]
    blog = [line.split()[1] for line in section(text, "backend blog") if line.startswith("server ")]
    assert blog == ["shop1", "shop2"]


def test_a_web_node_serves_no_site(rendered):
    assert rendered["web1"]["haproxy sites"] == rendered["web1"]["haproxy"]


def test_several_sites_are_told_apart_by_name_and_each_is_as_it_says(rendered):
    text = rendered["lb1"]["sites"]
    frontend = section(text, "frontend sites")
    assert [line for line in frontend if "backend" in line] == [
        "use_backend blog-streams if stream { var(txn.host) -m str blog.example.com }",
        "use_backend blog-static if static { var(txn.host) -m str blog.example.com }",
        "use_backend blog if { var(txn.host) -m str blog.example.com }",
        "use_backend shop-streams if stream { var(txn.host) -m str shop.example.com shop.example.org }",
        "use_backend shop-static if static { var(txn.host) -m str shop.example.com shop.example.org }",
        "use_backend shop if { var(txn.host) -m str shop.example.com shop.example.org }",
        "use_backend blog-streams if stream",
        "use_backend blog-static if static",
        "default_backend blog",
    ]
    blog, shop = section(text, "backend blog"), section(text, "backend shop")
    assert {"balance roundrobin", "balance source"} & set(blog) == {"balance roundrobin"}
    assert "balance source" in shop
    assert check("/up", "shop.example.com") in shop
    assert check("/livez", "blog.example.com") in blog
    assert shop[-2:] == [
        f"server shop1 192.0.2.41:9000 check{verified('shop1')}",
        f"server shop2 [::1]:9001 check{verified('shop2')} backup",
    ]


def test_streams_have_places_of_their_own_on_servers_that_are_judged_once(rendered):
    shop = section(rendered["lb1"]["sites"], "backend shop-streams")
    assert shop[-2:] == [
        f"server shop1 192.0.2.41:9000 track shop/shop1{verified('shop1')}",
        f"server shop2 [::1]:9001 track shop/shop2{verified('shop2')} backup",
    ]


def test_a_stream_goes_to_the_server_of_its_client_if_there_is_one(rendered):
    sites = rendered["lb1"]["sites"]
    assert "balance source" in section(sites, "backend shop-streams")
    assert "balance leastconn" in section(sites, "backend blog-streams")


@pytest.mark.parametrize(
    ("case", "at_once", "waiting"),
    [
        ("default", 32, 64),
        ("many threads", 256, 512),
        ("asgi", 2000, 4000),
        ("node", 2000, 4000),
        ("few at once", 7, 5),
    ],
)
def test_a_server_gets_what_its_threads_can_do_and_its_queue_is_limited(rendered, case, at_once, waiting):
    backend = section(rendered["lb1"][case], "backend site")
    (server,) = [line for line in backend if line.startswith("default-server ")]
    assert f" maxconn {at_once} " in server
    assert f"http-request deny deny_status 503 if {{ avg_queue(site) gt {waiting} }}" in backend


def test_failed_connections_take_no_server_out_by_themselves(rendered):
    (server,) = [line for line in section(rendered["lb1"]["default"], "backend site") if "on-error" in line]
    assert server.endswith(" observe layer4 error-limit 3 on-error fastinter")


def test_one_server_can_be_a_backup_by_itself(rendered):
    assert section(rendered["lb1"]["sites"], "backend blog")[-2:] == [
        f"server shop1 192.0.2.41:9000 check{verified('shop1')}",
        f"server shop2 [::1]:9001 check{verified('shop2')} backup",
    ]
    assert section(rendered["lb1"]["tcp"], "backend queue")[-2:] == [
        "server shop1 192.0.2.41:9000 check",
        "server shop2 [::1]:9001 check backup",
    ]


def test_a_plain_tcp_service_is_checked_by_a_connection(rendered):
    text = rendered["lb1"]["tcp"]
    assert sections(text) == ["global", "defaults", "frontend admin", "frontend queue", "backend queue"]
    frontend, backend = section(text, "frontend queue"), section(text, "backend queue")
    assert "bind 127.0.0.1:5672" in frontend
    assert "default_backend queue" in frontend
    assert not [line for line in frontend + backend if "httpchk" in line or "nbsrv" in line or " port " in line]


def test_timeouts_are_replaced_as_a_whole(rendered):
    timeouts = [line for line in section(rendered["lb1"]["timeouts"], "defaults") if line.startswith("timeout ")]
    assert sorted(timeouts) == ["timeout connect 7s", "timeout tunnel 2h"]


def test_long_connections_have_the_same_limits_on_both_sides(rendered):
    for case, idle, reload in (("default", "1h", "1h"), ("streams", "20m", "5m")):
        text = rendered["lb1"][case]
        assert f"timeout tunnel {idle}" in section(text, "defaults")
        assert f"hard-stop-after {reload}" in section(text, "global")
        assert f"timeout server {idle}" in section(text, "backend site-streams")
        assert not [line for line in section(text, "backend site") if line.startswith("timeout server ")]
        assert ("acl stream path_beg /feed/" in section(text, "frontend sites")) is (case == "streams")
    for case, idle, reload in (("nginx", "1h", "1h"), ("nginx streams", "20m", "5m")):
        text = rendered["web1"][case]
        assert f"worker_shutdown_timeout {reload};" in lines(text)
        (streams,) = re.findall(r"location @streams \{(.*?)\}", text, re.DOTALL)
        assert {f"proxy_read_timeout {idle};", "proxy_buffering off;", "gzip off;"} <= set(lines(streams))
        assert ('"~^/feed/" 1;' in lines(text)) is (case == "nginx streams")
        assert text.count("proxy_buffering off;") == 1


def test_what_only_a_proxy_may_say_is_removed_before_the_balancer_says_it(rendered):
    found = section(rendered["lb1"]["default"], "frontend sites")
    removed = [number for number, line in enumerate(found) if line.startswith("http-request del-header ")]
    said = [number for number, line in enumerate(found) if line.startswith("http-request set-header X-Forwarded-")]
    assert len(removed) > 20
    assert len([number for number in removed if number < said[0]]) > 20
    nginx = lines(rendered["web1"]["nginx"])
    php = lines(rendered["web1"]["nginx php"])
    for name in ("Forwarded", "Proxy", "X-Forwarded-Prefix", "X-Original-URL"):
        assert nginx.count(f'proxy_set_header {name} "";') == nginx.count("proxy_pass http://application;") == 3
        param = f'fastcgi_param HTTP_{name.upper().replace("-", "_")} "" if_not_empty;'
        assert php.count(param) == php.count("fastcgi_pass application;") == 3


def test_what_a_server_works_on_or_has_answered_is_not_asked_again(rendered):
    (rule,) = [line for line in section(rendered["lb1"]["default"], "backend site") if line.startswith("retry-on ")]
    assert rule == "retry-on conn-failure empty-response 425 503"
    text = rendered["web1"]["nginx"]
    assert lines(text).count("error_page 502 @died;") == lines(text).count("proxy_pass http://application;")


@pytest.mark.parametrize(("host", "case"), [("lb1", "default"), ("web1", "haproxy")])
def test_statistics_are_on_the_node_s_address_and_closed_to_strangers(rendered, host, case):
    admin = section(rendered[host][case], "frontend admin")
    assert f"bind {ADDRESSES[host]}:8404" in admin
    assert "http-request deny unless { src 127.0.0.0/8 ::1 192.0.2.11 }" in admin
    assert admin.index("http-request deny unless { src 127.0.0.0/8 ::1 192.0.2.11 }") < admin.index("stats enable")


def test_a_web_node_has_the_database_on_its_loopback_and_no_site(rendered):
    text = rendered["web1"]["haproxy"]
    assert sections(text) == [
        "global", "defaults", "frontend admin",
        "frontend mysql_primary", "backend mysql_primary", "frontend mysql_replica", "backend mysql_replica",
        "backend mysql_readable",
    ]  # fmt: skip
    assert "bind 127.0.0.1:3306" in section(text, "frontend mysql_primary")
    assert "bind 127.0.0.1:3307" in section(text, "frontend mysql_replica")


def test_writes_are_refused_while_two_servers_claim_to_be_the_primary(rendered):
    text = rendered["web1"]["haproxy"]
    rule = "tcp-request connection reject if { nbsrv(mysql_primary) gt 1 }"
    assert rule in section(text, "frontend mysql_primary")
    assert text.count("tcp-request connection reject") == 1


def test_reads_fall_back_to_the_primary_and_writes_to_nobody(rendered):
    text = rendered["web1"]["haproxy"]
    replicas = section(text, "backend mysql_replica")
    assert "default-server on-marked-up shutdown-backup-sessions" in replicas
    assert [line for line in replicas if " backup " in line] == [
        "server db1-mysql_primary 192.0.2.31:3306 backup track mysql_primary/db1",
        "server db2-mysql_primary 192.0.2.32:3306 backup track mysql_primary/db2",
        "server db1-mysql_readable 192.0.2.31:3306 backup track mysql_readable/db1",
        "server db2-mysql_readable 192.0.2.32:3306 backup track mysql_readable/db2",
    ]
    assert not [line for line in section(text, "backend mysql_primary") if " backup" in line]


@pytest.mark.parametrize("role", ["primary", "replica", "readable"])
def test_the_database_path_follows_the_role_that_each_server_says(rendered, role):
    backend = section(rendered["web1"]["haproxy"], f"backend mysql_{role}")
    assert any(
        re.fullmatch(rf"(option httpchk|http-check send .*uri|option httpchk GET) /{role}.*", x) for x in backend
    )
    assert "http-check expect status 200" in backend
    assert any(line.startswith("default-server ") and "port 3380" in line for line in backend)
    assert any("on-marked-down shutdown-sessions" in line for line in backend)
    assert [line for line in backend if re.match(r"server db\d ", line)] == [
        "server db1 192.0.2.31:3306 check",
        "server db2 192.0.2.32:3306 check",
    ]


def test_a_change_of_the_primary_shows_at_once_and_a_slow_answer_is_none(rendered):
    backends = {role: section(rendered["web1"]["haproxy"], f"backend mysql_{role}") for role in ("primary", "replica")}
    assert "default-server inter 200ms fastinter 100ms downinter 200ms rise 1" in backends["primary"]
    assert not [line for line in backends["replica"] if "inter" in line]
    # Without a time of its own a check would get no longer than its interval.
    assert "timeout check 2s" in section(rendered["web1"]["haproxy"], "defaults")
    assert not [line for backend in backends.values() for line in backend if "timeout check" in line]


def test_braces_of_nginx_match(rendered):
    for case in ("nginx", "nginx other"):
        text = "\n".join(lines(rendered["web1"][case]))
        assert text.count("{") == text.count("}")
        assert not [line for line in text.splitlines() if not re.search(r"[;{}']$", line)]


def test_nginx_listens_for_the_balancers_and_believes_them_alone(rendered):
    text = lines(rendered["web1"]["nginx"])
    assert [line for line in text if line.startswith("listen ")] == [
        "listen 192.0.2.21:8080 ssl default_server;",
        "listen 127.0.0.1:8081;",
    ]
    assert [line for line in text if line.startswith("set_real_ip_from")] == ["set_real_ip_from 192.0.2.11;"]
    other = lines(rendered["web1"]["nginx other"])
    assert "listen [2001:db8::21]:8080 ssl default_server;" in other
    assert [line.split()[1] for line in other if line.startswith("set_real_ip_from")] == [
        "192.0.2.0/28;",
        "2001:db8::/64;",
    ]


def test_nginx_shows_the_certificate_of_the_node(rendered):
    text = lines(rendered["web1"]["nginx"])
    assert {
        "ssl_certificate /etc/ssl/webstack/node.pem;",
        "ssl_certificate_key /etc/ssl/webstack/node.key;",
        "ssl_protocols TLSv1.2 TLSv1.3;",
    } <= set(text)


def test_nginx_serves_static_files_and_passes_the_rest(rendered):
    text = lines(rendered["web1"]["nginx"])
    assert "server unix:/run/app.sock max_fails=0;" in text
    assert "location /static/ {" in text
    assert "alias /srv/app/current/static/;" in text
    other = lines(rendered["web1"]["nginx other"])
    assert {"server 127.0.0.1:5000 max_fails=0;", "location /assets/ {", "alias /srv/assets/;"} <= set(other)
    assert "client_max_body_size 1g;" in other


def test_every_answer_of_every_location_names_the_node(rendered):
    text = rendered["web1"]["nginx"]
    served_by = 'add_header X-Served-By "web1" always;'
    assert served_by in lines(text.split("location")[0])
    with_headers = [lines(body) for body in re.findall(r"location [^{]*\{([^}]*)\}", text) if "add_header" in body]
    assert with_headers
    assert [body for body in with_headers if served_by not in body] == []


def test_nginx_leaves_the_second_try_to_the_balancer(rendered):
    assert "proxy_next_upstream off;" in lines(rendered["web1"]["nginx"])


def test_the_application_is_told_its_databases_on_the_loopback(rendered):
    environment = dict(line.split("=", 1) for line in lines(rendered["web1"]["environment"]))
    assert "@127.0.0.1:3306/app?ssl_ca=/etc/ssl/webstack/ca.pem" in environment["DATABASE_URL"]
    assert "mysql://app_reader:" in environment["DATABASE_REPLICA_URL"]
    assert "@127.0.0.1:3307/app?" in environment["DATABASE_REPLICA_URL"]
    assert (environment["NODE_NAME"], environment["LOG_LEVEL"], environment["WORKERS"]) == ('"web1"', '"debug"', '"3"')


def test_a_password_in_an_address_has_no_character_of_its_syntax(rendered):
    url = dict(line.split("=", 1) for line in lines(rendered["web1"]["environment"]))["DATABASE_URL"].strip('"')
    parts = urlsplit(url)
    assert (parts.username, unquote(parts.password), parts.port) == ("app", "p@ss/w:rd?#%", 3306)


def test_a_value_in_the_environment_can_hold_quotes(rendered):
    assert r'''MOTTO="say \"no\" \\ yes"''' in lines(rendered["web1"]["environment"])


def test_the_application_runs_in_a_sandbox_behind_its_socket(rendered):
    service, socket = lines(rendered["web1"]["service"]), lines(rendered["web1"]["socket"])
    assert {"User=app", "NoNewPrivileges=yes", "ProtectSystem=strict", "Requires=app.socket"} <= set(service)
    assert "EnvironmentFile=/etc/app.env" in service
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK" in service
    assert {"ListenStream=/run/app.sock", "SocketUser=www-data", "SocketMode=0600"} <= set(socket)


def settings(text: str) -> dict[str, str]:
    """Settings of a server's configuration file."""
    assert lines(text)[0] == "[mysqld]"
    pairs = [line.partition(" =")[::2] for line in lines(text)[1:]]
    assert len(dict(pairs)) == len(pairs), "a setting is there twice"
    return {name: value.strip() for name, value in pairs}


def test_a_database_comes_up_read_only_and_safe_against_a_crash(rendered):
    mysql, mariadb = settings(rendered["db1"]["mysql"]), settings(rendered["db1"]["mariadb"])
    assert (mysql["super_read_only"], mariadb["read_only"]) == ("ON", "ON")
    for found in (mysql, mariadb):
        assert (found["sync_binlog"], found["innodb_flush_log_at_trx_commit"]) == ("1", "1")
        assert found["require_secure_transport"] == "ON"
        assert found["bind_address"] == "127.0.0.1,192.0.2.31"
        assert found["server_id"] == "3221226015"


def test_each_engine_gets_its_own_words(rendered):
    mysql, mariadb = settings(rendered["db1"]["mysql"]), settings(rendered["db1"]["mariadb"])
    assert mysql["gtid_mode"] == "ON"
    assert not {"gtid_mode", "super_read_only", "mysqlx"} & set(mariadb)
    assert mariadb["gtid_strict_mode"] == "ON"
    assert "gtid_strict_mode" not in mysql


def test_a_setting_of_the_user_wins(rendered):
    found = settings(rendered["db1"]["settings"])
    assert (found["max_connections"], found["slow_query_log"], found["sql_mode"]) == ("7", "ON", "")
    text = lines(rendered["db1"]["settings"])
    assert [line for line in text if line.startswith(("max", "skip"))] == ["max_connections = 7", "skip_name_resolve"]
    assert [line for line in text if "net_timeout" in line] == ["replica_net_timeout = 20"]


def test_both_sides_of_semi_synchronous_replication_are_on_after_a_restart(rendered):
    found = settings(rendered["db1"]["semi-sync"])
    assert {name: value for name, value in found.items() if "semi" in name + value} == {
        "plugin_load_add": "mysql_clone.so;semisync_source.so;semisync_replica.so",
        "loose_rpl_semi_sync_source_enabled": "ON",
        "loose_rpl_semi_sync_source_timeout": "3000",
        "loose_rpl_semi_sync_source_wait_for_replica_count": "1",
        "loose_rpl_semi_sync_source_wait_point": "AFTER_SYNC",
        "loose_rpl_semi_sync_source_wait_no_replica": "OFF",
        "loose_rpl_semi_sync_replica_enabled": "ON",
    }
    found = settings(rendered["db1"]["semi-sync of mariadb"])
    assert {name: value for name, value in found.items() if "semi" in name + value} == {
        "rpl_semi_sync_master_enabled": "ON",
        "rpl_semi_sync_master_timeout": "4294967295",
        "rpl_semi_sync_master_wait_point": "AFTER_COMMIT",
        "rpl_semi_sync_master_wait_no_slave": "OFF",
        "rpl_semi_sync_slave_enabled": "ON",
    }
    for case in ("mysql", "mariadb"):
        assert "semi" not in rendered["db1"][case]


def test_the_health_endpoint_knows_the_other_database_nodes(rendered):
    assert json.loads(rendered["db1"]["verdict"])["policy"] == {
        "expected_delay": 0, "require_semi_sync": False, "max_lag": 5,
    }  # fmt: skip
    assert json.loads(rendered["db1"]["delayed verdict"])["policy"] == {
        "expected_delay": 3600, "require_semi_sync": True,
    }  # fmt: skip
    found = json.loads(rendered["db1"]["health"])
    assert found["peers"] == ["192.0.2.32"]
    assert (found["mysql_port"], found["health_port"], found["max_lag"]) == (3306, 3380, 10)
    assert found["resume_timeout"] == 300
    assert found["isolation_timeout"] == 0


def test_nginx_passes_php_by_fastcgi_and_runs_nothing_that_was_uploaded(rendered):
    text = rendered["web1"]["nginx php"]
    found = lines(text)
    assert {"root /srv/app/current/public;", "fastcgi_pass application;"} <= set(found)
    assert "try_files $uri $uri/ /index.php$is_args$args;" in found
    assert "error_page 404 = /index.php$is_args$args;" in found
    assert "fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name;" in found
    # A connection that is kept would hold a process.
    assert not [line for line in found if line.startswith(("proxy_", "keepalive "))]
    assert re.search(r"location \^~ /uploads/ \{\s*location ~\* \\.\(php[^{]*\{\s*return 404;", text)
    assert "/cache/" not in text
    assert "alias /srv/app/current/public/static/;" in found


def test_nginx_looks_for_an_index_where_there_is_no_front_controller(rendered):
    found = lines(rendered["web1"]["nginx php scripts"])
    assert {"index index.php;", "try_files $uri $uri/ =404;"} <= set(found)
    assert not [line for line in found if line.startswith("error_page 404")]


def test_nginx_asks_the_application_for_what_is_no_static_file(rendered):
    found = lines(rendered["web1"]["nginx node"])
    assert "error_page 404 = @application;" in found
    assert found.count("proxy_pass http://application;") == 3


@pytest.mark.parametrize(("case", "host"), [("nginx node", "$host"), ("nginx public port", "$host:8443")])
def test_the_application_is_told_the_host_with_the_port_that_clients_see(rendered, case, host):
    found = lines(rendered["web1"][case])
    told = [line for line in found if line.startswith(("proxy_set_header Host ", "proxy_set_header X-Forwarded-Host "))]
    assert told == [f"proxy_set_header Host {host};", f"proxy_set_header X-Forwarded-Host {host};"] * 3


@pytest.mark.parametrize(
    ("case", "host", "port"), [("nginx php", "$host", 443), ("nginx php public port", "$host:8443", 8443)]
)
def test_php_is_told_the_host_with_the_port_that_clients_see(rendered, case, host, port):
    found = lines(rendered["web1"][case])
    for param in (f"fastcgi_param HTTP_HOST {host};", f"fastcgi_param SERVER_PORT {port};"):
        assert found.index(param) > found.index("include /etc/nginx/fastcgi_params;")


def test_nginx_asks_an_application_at_its_port(rendered):
    assert "server 127.0.0.1:3000 max_fails=0;" in lines(rendered["web1"]["nginx node"])


def test_an_asgi_application_runs_under_the_gunicorn_of_its_release(rendered):
    text = rendered["web1"]["service asgi"]
    assert "ExecStart=/srv/app/current/.venv/bin/gunicorn \\" in text
    assert "--worker-class uvicorn.workers.UvicornWorker" in text
    assert "pages:app" in text


def test_php_takes_its_socket_over_and_ends_gracefully(rendered):
    found = lines(rendered["web1"]["service php"])
    assert {"Environment=FPM_SOCKETS=/run/app.sock=3", "KillSignal=SIGQUIT", "Requires=app.socket"} <= set(found)
    assert "ExecReload=/bin/kill -USR2 $MAINPID" in found


def test_a_command_is_told_where_to_listen(rendered):
    node, other = lines(rendered["web1"]["service node"]), lines(rendered["web1"]["service socket"])
    assert {"Environment=PORT=8000", 'ExecStart=/usr/bin/env "node" "a b.js"'} <= set(node)
    assert "Requires=app.socket" not in node + other
    assert {
        "Environment=SOCKET=/run/app/http.sock", "RuntimeDirectory=app", "Group=www-data", "UMask=0007",
        'ExecStart=/usr/bin/env "serve" "--listen=/run/app/http.sock"',
    } <= set(other)  # fmt: skip


def test_further_units_have_the_sandbox_and_the_limits_of_the_application(rendered):
    main, background, timed = (lines(rendered["web1"][case]) for case in ("service asgi", "background", "timed"))
    sandbox = main[main.index("ReadWritePaths=/srv/app/shared") : main.index("UMask=0027") + 1]
    assert {"MemoryMax=512M", "CPUQuota=150%", "TasksMax=64", "ProtectSystem=strict"} <= set(sandbox)
    for unit in (background, timed):
        assert set(sandbox) <= set(unit)
        assert {"User=app", "EnvironmentFile=/etc/app.env"} <= set(unit)
    assert {"PartOf=app.service", 'ExecStart=/usr/bin/env "mail" "50%%"'} <= set(background)
    assert "OnCalendar=hourly" in lines(rendered["web1"]["timer"])
