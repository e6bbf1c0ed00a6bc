# SPDX-License-Identifier: GPL-3.0-or-later
"""Single values: each form is known of every variable that has one, takes what programs take, and refuses the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.plugin_utils import inventory_contract as contract
from ansible_collections.pentad.webstack.plugins.plugin_utils import role_arguments
from ansible_collections.pentad.webstack.plugins.plugin_utils.value_contract import (
    FORMS,
    MAY_BE_EMPTY,
    NAMES,
    NEEDS_ONE,
    form_of,
    value_problems,
)
from ansible_collections.pentad.webstack.plugins.plugin_utils.value_types import is_template, type_of
from inputs import SITE, everywhere, stack

OPTIONS = role_arguments.options()
EXPORTERS = role_arguments.tables()["__webstack_exporters"]
SERVER = {"name": "web1", "address": "192.0.2.11", "port": 8080}
DATABASE = {"name": "queue", "port": 5672, "servers": [SERVER]}
TIMEOUTS = OPTIONS["nginx_timeouts"]["default"]


def told(name: str, value: Any) -> list[str]:
    """What is said of a variable's value."""
    return list(value_problems(name, value, OPTIONS[name]))


def everything(options: dict[str, Any] = OPTIONS, before: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All options with those inside of them, by the names that the forms have."""
    for name, option in options.items():
        yield before + name, option
        yield from everything(option.get("options") or {}, f"{before}{name}.")


ALL = dict(everything())


def test_every_name_is_one_of_an_option():
    assert (FORMS.keys() | NAMES.keys() | MAY_BE_EMPTY | NEEDS_ONE) - ALL.keys() == set()


def test_every_number_has_a_range():
    numbers = {name for name, option in ALL.items() if type_of(option) == "int"}
    # Judged with the numbers of the other servers.
    assert {name for name in numbers if not form_of(name)} == {"mysql_server_id"}


def test_everything_that_is_to_have_a_unit_is_refused_without():
    def asks(option: dict[str, Any]) -> bool:
        return any(unit in option["description"] for unit in ("with its unit", "with their units"))

    names = [name for name, option in ALL.items() if asks(option)]
    assert {"haproxy_check_interval", "haproxy_timeouts", "nginx_client_max_body_size"} <= set(names)
    for name in names:
        inside = [f"{name}.{each}" for each in ALL[name].get("options") or {}] or [name]
        assert [each for each in inside if form_of(each) is None or form_of(each).fits("5")] == []


def test_every_default_is_right():
    defaults = {**role_arguments.defaults(), **{name: o["default"] for name, o in OPTIONS.items() if "default" in o}}
    found = [
        problem
        for name, value in defaults.items()
        if name in OPTIONS and not is_template(value)
        for problem in told(name, value)
    ]
    assert found == []


RIGHT: list[tuple[str, Any]] = [
    ("haproxy_health_timeout", "500ms"),
    ("haproxy_check_interval", "10m"),
    ("haproxy_slowstart", "0s"),
    ("haproxy_timeouts", {"connect": "7s", "client-fin": "1d"}),
    ("haproxy_timeouts", {}),
    ("webstack_stream_idle_timeout", "90s"),
    ("nginx_timeouts", {**TIMEOUTS, "keepalive": "0s", "send": "1h30m"}),
    ("monitoring_retention", "1y6w"),
    ("monitoring_retention_size", ""),
    ("monitoring_retention_size", "512MB"),
    ("nginx_client_max_body_size", "0"),
    ("nginx_client_max_body_size", "2G"),
    ("mysql_server_buffer_pool_size", "4g"),
    ("mysql_server_buffer_pool_size", "134217728"),
    ("app_server_memory_max", "1.5G"),
    ("app_server_memory_max", "536870912"),
    ("app_server_memory_max", "50%"),
    ("app_server_memory_max", "infinity"),
    ("app_server_memory_max", ""),
    ("app_server_cpu_quota", "12.5%"),
    ("app_server_tasks_max", "64"),
    ("haproxy_server_queue", 0),
    ("haproxy_retries", 0),
    ("app_server_keep_releases", 0),
    ("mysql_server_binlog_expire_seconds", 0),
    ("mysql_server_max_connections", 1),
    ("webstack_semi_sync_replicas", 1),
    ("webstack_semi_sync_timeout", 86400),
    ("haproxy_site_address", "*"),
    ("haproxy_admin_address", "fd00::11"),
    ("haproxy_rate_limit_allow", ["10.0.0.1/8", "fd00::/64", "192.0.2.1"]),
    ("nginx_trusted_proxies", ["unix:"]),
    ("webstack_sites", [{**SITE, "servers": [{**SERVER, "address": "Web_1.example.com", "ca_file": "@system-ca"}]}]),
    ("proof_canary_path", ""),
    ("nginx_static_path", "/"),
    ("haproxy_health_path", "/wp-login.php?check=1"),
    ("webstack_app_root", "/srv/shop-1.x@a"),
    ("webstack_app_socket", "/run/" + "x" * 102),
    ("webstack_app_packages", ["libapache2-mod-php8.4", "libc6:amd64", "nodejs=20.1~rc1-1"]),
    ("exporters_node_options", ["--no-collector.hwmon"]),
    ("app_server_command", ["sh", "-c", "one\ntwo", ""]),
    ("app_server_environment", {"A": 'x\ny \t$ % " \\ \u00fc', "_b": 1, "C": False, "D": ""}),
    ("app_server_files", {"/etc/shop/a.py": "one\ntwo\n"}),
    ("mysql_server_settings", {"skip-name-resolve": None, "validate_password.policy": "LOW", "long_query_time": 0.5}),
    ("mysql_primary_accounts", [{"name": "report", "password": None, "privileges": {"*.*": ["SELECT"]}}]),
    ("webstack_authority_certificate", "-----BEGIN\nEND\n"),
    ("webstack_app_password", "\u00fc\"'\\%$ \n"),
    ("webstack_domain", "{{ later }}"),
]


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_what_is_legal_is_taken(name, value):
    assert told(name, value) == []


NO_TIME = "is no time: write a number and its unit, as in"
WRONG: list[tuple[str, Any, str]] = [
    *(
        ("haproxy_health_timeout", each, NO_TIME)
        for each in ("5", "5 s", "0s", "-5s", "", "5S", "1h30m", "25d", "5s\n")
    ),
    ("haproxy_slowstart", 10, f"{NO_TIME} 500ms, 5s or 1m, or 0s."),
    ("haproxy_timeouts", {"client": 30}, "haproxy_timeouts.client = 30 is no time"),
    ("haproxy_timeouts", {"conect": "5s"}, "has 'conect', which is no timeout of HAProxy: use check, client"),
    *(("webstack_stream_idle_timeout", each, f"{NO_TIME} 90s, 30m or 1h.") for each in ("60", "1d", "0s", "1h30m")),
    ("nginx_timeouts", {**TIMEOUTS, "send": "30"}, "nginx_timeouts.send = '30' is no time"),
    ("nginx_timeouts", {**TIMEOUTS, "send": "0s"}, "nginx_timeouts.send = '0s' is no time"),
    ("monitoring_scrape_interval", "15", NO_TIME),
    ("monitoring_retention", "15 d", NO_TIME),
    ("monitoring_retention_size", "5G", "is no size: write a number and B, KB, MB, GB or TB, as 5GB."),
    ("nginx_client_max_body_size", "10", "is no size: write a number and k, m or g, as 10m, or 0 for any size."),
    ("nginx_client_max_header_size", "16kb", "is no size"),
    ("mysql_server_buffer_pool_size", "4GB", "is no size: write a number and M or G, as 4G, and 5M or more."),
    ("mysql_server_buffer_pool_size", "128", "is no size"),
    ("app_server_memory_max", "512m", "is no size: write a number and K, M, G or T, as 512M, and 1M or more."),
    ("app_server_memory_max", "512", "is no size"),
    ("app_server_cpu_quota", "150", "is no share of a processor: write it as 150%."),
    ("app_server_cpu_quota", "0%", "is no share"),
    ("app_server_tasks_max", "0", "is no number of processes: write a number, as 64."),
    ("webstack_app_workers", 0, "webstack_app_workers = 0 is out of range: use 1 or more."),
    ("webstack_app_threads", -1, "use 1 or more."),
    ("haproxy_server_maxconn", 0, "use 1 or more."),
    ("haproxy_server_queue", -5, "use 0 or more."),
    ("haproxy_max_headers", 32768, "use 1 to 32767."),
    ("haproxy_buffer_size", 8192, "use 16384 or more."),
    ("nginx_upstream_keepalive", 0, "use 1 or more."),
    ("webstack_semi_sync_timeout", 0, "webstack_semi_sync_timeout = 0 is out of range: use 1 to 86400."),
    ("nginx_worker_connections", 15, "is out of range: use 16 or more."),
    ("haproxy_https_port", 65536, "haproxy_https_port = 65536 is not a port: use 1 to 65535."),
    ("webstack_sites", [{**SITE, "servers": [{**SERVER, "port": 0}]}], "[0].servers[0].port = 0 is not a port"),
    ("haproxy_tcp_services", [{**DATABASE, "check_port": -1}], "haproxy_tcp_services[0].check_port = -1 is not a port"),
    ("haproxy_admin_address", "lb 1", "is not an IP address: write it as 192.0.2.11 or fd00::11."),
    ("monitoring_address", "*", "is not an IP address"),
    ("haproxy_rate_limit_allow", ["10.0.0.0/33"], "haproxy_rate_limit_allow[0] = '10.0.0.0/33' is no address and no"),
    ("webstack_sites", [{**SITE, "servers": [{**SERVER, "address": "a b"}]}], "is no host name and no address"),
    ("webstack_sites", [{**SITE, "servers": [{**SERVER, "name": "web 1"}]}], "is no name of a server or service"),
    ("webstack_sites", [{**SITE, "servers": [{**SERVER, "tls": None}]}], "servers[0].tls = null is no value"),
    ("webstack_sites", [{**SITE, "health_path": "live z"}], "[0].health_path = 'live z' is no path of the"),
    ("webstack_sites", [{**SITE, "domains": []}], "[0].domains = [] is empty, and has to have an element"),
    ("webstack_sites", [{**SITE, "name": ""}], "[0].name = '' is empty: give it a value, or leave it out."),
    ("webstack_health_path", "livez", "begin it with a slash"),
    ("nginx_static_path", "/static", "is no path of the site with a slash at both ends: write it as /static/."),
    *(
        ("webstack_app_root", each, "is no path that the programs")
        for each in ("srv/app", "/srv/my app", "/srv/a\n", "")
    ),
    ("webstack_app_socket", "/run/" + "x" * 103, "at most 107 characters."),
    ("webstack_state_dir", "~/state", "is no path from / on: write the whole path"),
    ("app_server_user", "My User", "cannot name a system account"),
    *((f"exporters_{name}_options", ["--a b"], "is no option: write one word") for name in EXPORTERS),
    ("haproxy_tls_ciphers", [], "is empty, and has to have an element"),
    ("haproxy_tls_ciphers", ["A B"], "is no name that OpenSSL has"),
    ("nginx_gzip_types", ["text; x"], "is no media type"),
    ("webstack_app_packages", ["a b"], "is no name of a package"),
    ("webstack_app_packages", [None], "webstack_app_packages[0] = null is no value"),
    ("webstack_app_php_version", "8", "is no version of PHP: write it in quotes, as '8.4'."),
    ("app_server_build", [[]], "app_server_build[0] = [] is empty"),
    ("app_server_exclude", [""], "app_server_exclude[0] = '' is empty: give it a value, or remove the element."),
    ("nginx_served_by", "a\nb", "has a line break or another control character: remove it"),
    ("nginx_served_by", " ", "is empty: give it a value, or leave it out."),
    ("haproxy_check_interval", None, "haproxy_check_interval = null is no value: give it one, or leave it out to"),
    ("webstack_app_password", None, "webstack_app_password = null is no value"),
    ("app_server_environment", {"A B": 1}, "has 'A B', which is no name of a variable: use letters, digits and '_'."),
    ("app_server_environment", {"A": None}, "app_server_environment[A] is not text: write it in quotes"),
    ("app_server_environment", {"A": [1]}, "app_server_environment[A] is not text"),
    ("app_server_environment", {"A": "x\0"}, "app_server_environment[A] has a control character"),
    ("app_server_files", {"/etc/shop/x": {"a": 1}}, "app_server_files[/etc/shop/x] is not text"),
    ("app_server_php_settings", {"a]b": 1}, "has 'a]b', which is no setting of PHP"),
    ("mysql_server_settings", {"": 1}, "has '', which is no setting of a server: write it as in its option file."),
    ("monitoring_external_labels", {"a-b": "c"}, "has 'a-b', which is no name of a variable"),
]


@pytest.mark.parametrize(("name", "value", "part"), WRONG)
def test_what_would_break_later_is_told_with_its_fix(name, value, part):
    (problem,) = told(name, value)
    assert problem.startswith(name)
    assert part in problem
    assert problem.endswith(".")


def test_a_secret_is_not_shown():
    vaulted = type("Vaulted", (str,), {"__ENCRYPTED__": True})("hidden")
    for found in (
        told("app_server_environment", {"DB_PASSWORD": ["hidden"]}),
        told("app_server_database_url", "mysql://app:hidden@127.0.0.1/app\n"),
        list(value_problems("haproxy_slowstart", "hidden", OPTIONS["haproxy_slowstart"], vaulted)),
    ):
        (problem,) = found
        assert "hidden" not in problem


def problems(changes: dict[str, dict[str, Any]]) -> list[str]:
    """What is said of the whole input."""
    return contract.problems(stack(changes), [])


def test_preflight_names_host_variable_value_and_fix_of_a_value():
    assert problems({"lb1": {"haproxy_slowstart": 10, "haproxy_rate_limit": -1}}) == [
        "lb1: haproxy_rate_limit = -1 is out of range: use 0 or more.",
        "lb1: haproxy_slowstart = '10' is no time: write a number and its unit, as in 500ms, 5s or 1m, or 0s.",
    ]
    # Of a role that this host has not got.
    assert problems({"db1": {"haproxy_slowstart": "10"}}) == []


def test_certificates_that_would_be_renewed_by_every_run_are_refused():
    assert problems({"web1": {"pki_days": 30, "pki_renew_days": 30}}) == [
        "web1: pki_renew_days = 30 is not less than pki_days = 30, and every run would renew every certificate: "
        "make it smaller."
    ]
    assert problems({"web1": {"pki_days": 31, "pki_renew_days": 30}}) == []


@pytest.mark.parametrize(
    ("host", "changes", "told"),
    [
        (
            "lb1",
            {"webstack_sites": [SITE, {**SITE, "domains": ["b.example.com"]}]},
            "lb1: webstack_sites: name = 'shop' is taken by webstack_sites: choose another one.",
        ),
        (
            "lb1",
            {"webstack_sites": [{**SITE, "name": "acme-challenge"}]},
            "lb1: webstack_sites: name = 'acme-challenge' is taken by HAProxy itself: choose another one.",
        ),
        (
            "lb1",
            {"webstack_sites": [{**SITE, "name": "queue"}], "haproxy_tcp_services": [DATABASE]},
            "lb1: haproxy_tcp_services: name = 'queue' is taken by webstack_sites: choose another one.",
        ),
        (
            "web1",
            {"haproxy_tcp_services": [{**DATABASE, "servers": [SERVER, SERVER]}]},
            "web1: haproxy_tcp_services: queue has 2 servers named 'web1': name each once.",
        ),
    ],
)
def test_two_things_of_haproxy_have_two_names(host, changes, told):
    served = changes.get("webstack_sites", [SITE])
    everybodys = everywhere(webstack_sites=served, webstack_domain=SITE["domains"][0])
    assert problems({**everybodys, host: {**everybodys[host], **changes}}) == [told]


def test_on_a_web_node_a_service_may_have_the_name_of_a_site():
    everybodys = everywhere(webstack_sites=[{**SITE, "name": "queue"}], webstack_domain=SITE["domains"][0])
    assert problems({**everybodys, "web1": {**everybodys["web1"], "haproxy_tcp_services": [DATABASE]}}) == []


def test_nodes_agree_about_what_one_tells_the_other():
    agree = "and these nodes have to agree: set it once, for all hosts."
    assert problems({"web1": {"webstack_web_port": 8090}, "web2": {"webstack_web_port": 8090}}) == [
        f"webstack_web_port is 8080 on lb1 and 8090 on web1, web2, {agree}"
    ]
    assert problems({"db1": {"webstack_mysql_engine": "mariadb"}}) == [
        f"webstack_mysql_engine is mariadb on db1 and mysql on db2, {agree}"
    ]
    secrets = {host: {"webstack_app_password": "hidden"} for host in ("web1", "web2")}
    assert problems(secrets) == [f"webstack_app_password is one on web1, web2 and another one on db1, db2, {agree}"]
    assert problems(everywhere(webstack_web_port=8090, webstack_app_password="other")) == []


def test_all_hosts_see_the_same_sites():
    agree = "and these nodes have to agree: set it once, for all hosts."
    domain = {"webstack_domain": SITE["domains"][0]}
    own = {host: {**domain, "webstack_sites": [SITE]} for host in ("web1", "web2", "db1", "db2")}
    assert problems({**own, "lb1": domain}) == [
        f"webstack_sites is one on lb1 and another one on web1, web2, db1, db2, {agree}"
    ]
    other = {**SITE, "redirect_from": ["www.shop.example.com"]}
    assert problems({**own, "lb1": {**domain, "webstack_sites": [other]}}) == [
        f"webstack_sites is one on lb1 and another one on web1, web2, db1, db2, {agree}"
    ]
    assert problems({"web1": domain}) == [
        f"webstack_domain is www.example.com on lb1, web2 and shop.example.com on web1, {agree}"
    ]
