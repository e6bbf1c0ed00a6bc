# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be true of a single value besides its type: times with their units, sizes, ranges, paths and addresses.

A table has the form of every variable that has one, by its name and that of the option inside of it. A value without
a form must not be null; a text without one must not be empty, unless that has a meaning, or have control characters.
Pure: a value and an option of an argument spec in, sentences out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from . import role_arguments
from .value_types import SECRET, Option, elements_of, is_template, is_vaulted, type_of

MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
BYTES = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50, "E": 2**60}
# HAProxy keeps times as milliseconds in so many bits.
LONGEST_TIME = 2**31 - 1
LARGEST = 2**31 - 1
# The kernel's limit, without the byte that ends the path.
LONGEST_SOCKET = 107
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# systemd accepts none of these in an environment.
UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
NGINX_TIME = re.compile(r"(\d+y)?(\d+M)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?")
PROMETHEUS_TIME = re.compile(r"(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?")


class Form(NamedTuple):
    """The form of a value: a test, what a value that fails it is not, and how to write it."""

    fits: Callable[[str], bool]
    not_one: str
    fix: str


def matches(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    """Whether a whole text matches."""
    compiled = re.compile(pattern, flags)
    return lambda text: bool(compiled.fullmatch(text))


def span(least: int, most: int = LARGEST) -> Form:
    """A number from least to most."""
    wanted = f"{least} or more" if most == LARGEST else f"{least} to {most}"
    return Form(lambda text: least <= int(text) <= most, "is out of range", f"use {wanted}")


def time(units: str, least: int = 1) -> Form:
    """A time of HAProxy, in one of these units, of so many milliseconds at least."""
    allowed = units.split()

    def fits(text: str) -> bool:
        found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text)
        return bool(found and found[2] in allowed) and least <= int(found[1]) * MILLISECONDS[found[2]] <= LONGEST_TIME

    example = "as in 90s, 30m or 1h" if "ms" not in allowed else "as in 500ms, 5s or 1m"
    return Form(fits, "is no time", f"write a number and its unit, {example}{', or 0s' if not least else ''}")


def composed(pattern: re.Pattern[str], least: int = 1) -> Form:
    """A time that may have several parts, as 1h30m; at least one of them has to be least or more."""

    def fits(text: str) -> bool:
        return bool(text and pattern.fullmatch(text)) and any(int(each) >= least for each in re.findall(r"\d+", text))

    return Form(fits, "is no time", f"write a number and its unit, as in 5s, 30m or 1d{', or 0s' if not least else ''}")


def size(pattern: str, least: int, fix: str) -> Form:
    """A number of bytes with a unit of the program, and not fewer than least."""

    def fits(text: str) -> bool:
        found = re.fullmatch(pattern, text)
        return bool(found) and float(found["number"]) * BYTES[(found["unit"] or "").upper()[:1]] >= least

    return Form(fits, "is no size", fix)


def either(form: Form, pattern: str) -> Form:
    """The form, or text that matches."""
    return form._replace(fits=lambda text: bool(re.fullmatch(pattern, text)) or form.fits(text))


def is_address(text: str) -> bool:
    """Whether it is an address, of either protocol."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_network(text: str) -> bool:
    """Whether it is an address or a network; host bits may be set."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


PORT = Form(lambda text: 0 < int(text) < 65536, "is not a port", "use 1 to 65535")
ANY_NUMBER, POSITIVE = span(0), span(1)
HAPROXY_TIME, BOTH_TIME = time("ms s m h d"), time("s m h")
ADDRESS = Form(is_address, "is not an IP address", "write it as 192.0.2.11 or fd00::11")
LISTENER = either(ADDRESS, r"\*")
VARIABLE = Form(matches(r"[A-Za-z_][A-Za-z0-9_]*"), "is no name of a variable", "use letters, digits and '_'")
NETWORK = Form(is_network, "is no address and no network", "write it as 192.0.2.11, 192.0.2.0/24 or fd00::/64")
HOST = either(
    Form(is_address, "is no host name and no address", "write it as 192.0.2.21 or web1.example.com"),
    r"(?=.*[A-Za-z])[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?",
)
LABEL = Form(
    matches(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*"), "is no name of a server or service",
    "use letters, digits, '_', '-' and '.'",
)  # fmt: skip
URL_PATH = Form(
    matches(r"/[A-Za-z0-9/._~%?&=+,:@-]*"), "is no path of the site",
    "begin it with a slash, without spaces and quotes, as in /livez",
)  # fmt: skip
DIRECTORY_PATH = Form(
    matches(r"/([A-Za-z0-9._~-]+/)*"), "is no path of the site with a slash at both ends", "write it as /static/"
)
PLACE = Form(
    matches(r"(/[A-Za-z0-9._@+~:-]+)+/?"), "is no path that the programs of the node can read",
    "begin it with a slash, and use letters, digits and ._@+~:- alone",
)  # fmt: skip
SOCKET = Form(
    lambda text: PLACE.fits(text) and len(text) <= LONGEST_SOCKET, "is no path of a socket",
    f"begin it with a slash, and use letters, digits and ._@+~:- alone, at most {LONGEST_SOCKET} characters",
)  # fmt: skip
HERE = Form(matches(r"/.*"), "is no path from / on", "write the whole path, as /home/deploy/site/.webstack")
ACCOUNT = Form(
    matches(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}"), "cannot name a system account",
    "use letters, digits, '_', '.' and '-', at most 31",
)  # fmt: skip
OPTION = Form(matches(r"""[^\s"'\\$]+"""), "is no option", "write one word, without spaces, quotes, '\\' and '$'")
# What Linux takes as a name of one.
INTERFACE = Form(matches(r"[A-Za-z0-9_.:@-]{1,15}"), "is no name of an interface", "write it as eth0")
SECONDS = Form(lambda text: 0.05 <= float(text) <= 10, "is out of range", "use 0.05 to 10")
HTTP_URL = Form(
    matches(r"http://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9/._~-]*)?"), "is no URL of plain HTTP",
    "write it as http://192.0.2.11:8404/healthz",
)  # fmt: skip
CIPHER = Form(matches(r"[A-Za-z0-9_+!@=.-]+"), "is no name that OpenSSL has", "write one name for each element")
MEDIA_TYPE = Form(matches(r"\*|[\w.+-]+/[\w.+-]+"), "is no media type", "write it as text/css")
PACKAGE = Form(
    matches(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?([=/][A-Za-z0-9.+~:-]+)?"), "is no name of a package",
    "write it as apt shows it",
)  # fmt: skip
MEMORY = size(
    r"(?P<number>\d+(\.\d+)?) ?(?P<unit>[BKMGTPE]?)", 2**20, "write a number and K, M, G or T, as 512M, and 1M or more"
)
PERCENT = r"(?=[\d.]*[1-9])\d+(\.\d+)?%"
BUFFER_POOL = size(
    r"(?P<number>\d+)(?P<unit>(?i:[KMGTPE]?))", 5 * 2**20, "write a number and M or G, as 4G, and 5M or more"
)
HAPROXY_TIMEOUTS = (
    "check", "client", "client-fin", "client-hs", "connect", "http-keep-alive", "http-request", "queue", "server",
    "server-fin", "tarpit", "tunnel",
)  # fmt: skip

SERVERS = {"name": LABEL, "address": HOST, "verify_host": HOST, "ca_file": either(PLACE, "@system-ca")}
SERVICES = {
    "name": LABEL, "address": LISTENER, "check_path": URL_PATH, "check_interval": HAPROXY_TIME, "fallbacks": LABEL,
}  # fmt: skip


def inside(name: str, forms: Mapping[str, Form]) -> dict[str, Form]:
    """Forms of the options inside of an option."""
    return {f"{name}.{option}": form for option, form in forms.items()}


FORMS: dict[str, Form] = {
    **dict.fromkeys(
        (
            "haproxy_timeouts", "haproxy_check_interval", "haproxy_primary_check_interval",
            "haproxy_rate_limit_period", "haproxy_health_timeout", "haproxy_tcp_timeout", "haproxy_hard_stop_after",
        ),
        HAPROXY_TIME,
    ),
    **dict.fromkeys(
        ("keepalived_advert_interval", "keepalived_check_interval", "keepalived_check_timeout"), SECONDS
    ),
    "keepalived_check_url": HTTP_URL,
    "webstack_virtual_addresses.virtual_router_id": span(1, 255),
    "webstack_virtual_addresses.interface": INTERFACE,
    "webstack_virtual_addresses.balancers": LABEL,
    "haproxy_slowstart": time("ms s m h d", 0),
    # HAProxy and nginx both read them.
    "webstack_stream_idle_timeout": BOTH_TIME,
    "webstack_stream_reload_timeout": BOTH_TIME,
    **inside(
        "nginx_timeouts",
        dict.fromkeys(
            ("client_header", "client_body", "send", "proxy_connect", "proxy_read"), composed(NGINX_TIME)
        ),
    ),
    "nginx_timeouts.keepalive": composed(NGINX_TIME, 0),
    "monitoring_scrape_interval": composed(PROMETHEUS_TIME),
    "monitoring_retention": composed(PROMETHEUS_TIME),
    "monitoring_retention_size": Form(
        matches(r"|[1-9]\d*([KMGTPE]?B)"), "is no size", "write a number and B, KB, MB, GB or TB, as 5GB"
    ),
    "nginx_client_max_body_size": Form(
        matches(r"0|[1-9]\d*[kKmMgG]"), "is no size", "write a number and k, m or g, as 10m, or 0 for any size"
    ),
    "nginx_client_max_header_size": Form(
        matches(r"[1-9]\d*[kKmM]"), "is no size", "write a number and k or m, as 16k"
    ),
    "mysql_server_buffer_pool_size": BUFFER_POOL,
    "app_server_memory_max": either(MEMORY, rf"|infinity|{PERCENT}"),
    "app_server_cpu_quota": Form(matches(rf"|{PERCENT}"), "is no share of a processor", "write it as 150%"),
    "app_server_tasks_max": Form(
        matches(rf"|infinity|[1-9]\d*|{PERCENT}"), "is no number of processes", "write a number, as 64"
    ),
    **dict.fromkeys(
        (
            "app_server_keep_releases", "dns_ttl", "haproxy_hsts_seconds", "haproxy_maintenance_retry_after",
            "haproxy_rate_limit", "haproxy_retries", "haproxy_server_queue", "keepalived_garp_delay",
            "keepalived_garp_refresh", "mysql_health_isolation_timeout", "mysql_health_max_lag",
            "mysql_switchover_catch_up_timeout", "mysql_switchover_transaction_timeout",
            "mysql_health_resume_timeout", "mysql_primary_accounts.max_user_connections", "mysql_replica_delay",
            "mysql_replica_wait", "nginx_static_max_age",
            "proof_max_lag", "rollout_drain_timeout", "webstack_apt_patience", "webstack_certificate_min_days",
        ),
        ANY_NUMBER,
    ),
    **dict.fromkeys(
        (
            "app_server_background.instances", "app_server_build_timeout", "app_server_graceful_timeout",
            "app_server_source_timeout", "haproxy_maxconn", "haproxy_server_maxconn",
            "haproxy_server_streams", "haproxy_server_static", "keepalived_notify_timeout", "keepalived_probe_seconds",
            "mysql_failover_apply_timeout", "mysql_failover_sight_timeout",
            "mysql_health_verdict_interval", "mysql_replica_seed_timeout", "mysql_switchover_apply_timeout",
            "mysql_switchover_lock_timeout", "nginx_upstream_keepalive",
            "proof_ready_timeout", "proof_timeout", "rollout_health_timeout", "rollout_lease",
            "upkeep_reboot_timeout", "webstack_app_threads", "webstack_app_workers",
        ),
        POSITIVE,
    ),
    "mysql_switchover_max_lag": Form(lambda text: float(text) >= 0.01, "is too little", "use 0.01 or more"),
    # The range of apt; a negative priority forbids a package.
    "packages_repositories.pins.priority": span(-32768, 32767),
    # Below that HAProxy does not speak HTTP/2.
    "haproxy_buffer_size": span(16384),
    "haproxy_max_headers": span(1, 32767),
    "mysql_server_binlog_expire_seconds": span(0, 2**32 - 1),
    "mysql_server_max_connections": span(1, 100_000),
    "webstack_semi_sync_replicas": span(1, 65535),
    # A day; that it shall wait without end has a word of its own.
    "webstack_semi_sync_timeout": span(1, 86400),
    "nginx_worker_connections": span(16),
    **dict.fromkeys(("pki_days", "pki_renew_days", "pki_ca_days"), span(1, 36500)),
    **dict.fromkeys(
        ("haproxy_admin_address", "haproxy_site_address", "nginx_address", "mysql_server_addresses"), LISTENER
    ),
    # Neither systemd nor the exporters have a word for all addresses.
    **dict.fromkeys(("exporters_address", "monitoring_address", "mysql_health_address"), ADDRESS),
    **dict.fromkeys(
        ("webstack_virtual_addresses.addresses", "dns_addresses", "acme_http01_address", "mysql_health_peers"), ADDRESS
    ),
    "mysql_replica_source_address": HOST,
    **dict.fromkeys(
        (
            "haproxy_rate_limit_allow", "haproxy_maintenance_allow", "haproxy_admin_allow",
        ),
        NETWORK,
    ),
    "nginx_trusted_proxies": either(NETWORK, "unix:"),
    **inside("haproxy_servers", SERVERS),
    **inside("haproxy_acme_servers", SERVERS),
    **inside("webstack_sites.servers", SERVERS),
    **inside("haproxy_tcp_services", SERVICES),
    **inside("haproxy_tcp_services.servers", SERVERS),
    **inside("haproxy_database_endpoints", SERVICES),
    **inside("haproxy_database_endpoints.servers", SERVERS),
    **dict.fromkeys(
        (
            "webstack_health_path", "webstack_ready_path", "haproxy_health_path", "webstack_sites.health_path",
            "rollout_health_paths",
        ),
        URL_PATH,
    ),
    "proof_canary_path": either(URL_PATH, ""),
    "nginx_static_path": DIRECTORY_PATH,
    "webstack_static_path": DIRECTORY_PATH,
    "nginx_upload_paths": DIRECTORY_PATH,
    **dict.fromkeys(
        (
            "webstack_app_root", "webstack_pki_dir", "webstack_ca_path", "webstack_certificates_dir",
            "webstack_mysql_primary_marker", "webstack_mysql_handover_marker", "nginx_certificate",
            "nginx_certificate_key", "nginx_docroot", "nginx_static_root", "pki_dir",
        ),
        PLACE,
    ),
    "pki_bundle": either(PLACE, ""),
    **dict.fromkeys(("webstack_app_socket", "webstack_mysql_socket", "exporters_mysqld_socket"), SOCKET),
    "webstack_state_dir": HERE,
    **dict.fromkeys(("app_server_user", "app_server_socket_user", "pki_group"), ACCOUNT),
    **dict.fromkeys(
        (
            "monitoring_prometheus_options", "monitoring_alertmanager_options",
            *(f"exporters_{name}_options" for name in role_arguments.tables()["__webstack_exporters"]),
        ),
        OPTION,
    ),
    **dict.fromkeys(("haproxy_tls_ciphers", "haproxy_tls_ciphersuites", "haproxy_tls_curves"), CIPHER),
    "nginx_gzip_types": MEDIA_TYPE,
    **dict.fromkeys(("webstack_app_packages", "app_server_build_packages", "packages_names"), PACKAGE),
    "webstack_app_php_version": Form(matches(r"\d+\.\d+"), "is no version of PHP", "write it in quotes, as '8.4'"),
}  # fmt: skip
# Forms of the names in mappings whose names are the user's own.
NAMES: dict[str, Form] = {
    **dict.fromkeys(("app_server_environment", "app_server_build_environment"), VARIABLE),
    "monitoring_external_labels": VARIABLE,
    "app_server_php_settings": Form(
        matches(r"[A-Za-z0-9_.-]+"), "is no setting of PHP", "write it as in php.ini, as memory_limit"
    ),
    "mysql_server_settings": Form(
        matches(r"[A-Za-z][A-Za-z0-9_.-]*"), "is no setting of a server", "write it as in its option file"
    ),
    "haproxy_timeouts": Form(
        HAPROXY_TIMEOUTS.__contains__, "is no timeout of HAProxy", f"use {', '.join(HAPROXY_TIMEOUTS)}"
    ),
}
# Mappings whose values are text, of several lines if need be.
OF_TEXT = {
    "app_server_environment", "app_server_build_environment", "app_server_files", "app_server_php_settings",
    "monitoring_external_labels",
}  # fmt: skip
# Options for which null is the same as leaving them out.
MAY_BE_NULL = re.compile(r"mysql_primary_(accounts|databases)\..*")
# Variables that may be empty besides those whose default is empty, and names and addresses that are checked elsewhere.
MAY_BE_EMPTY = {
    "mysql_primary_administration_user", "mysql_primary_monitoring_user", "nginx_front_controller",
    "webstack_address", "webstack_app_database", "webstack_app_docroot", "webstack_app_front_controller",
    "webstack_app_name", "webstack_app_reader_user", "webstack_app_user",
    "webstack_domain", "webstack_mysql_health_user", "webstack_mysql_login_user",
    "webstack_replication_user", "webstack_switchover_user", "webstack_verification_user",
    "acme_directory_url", "app_server_background.name", "app_server_timers.name",
    "webstack_sites.certificate", "webstack_sites.chain", "webstack_sites.key",
    "webstack_removed_headers", "webstack_stream_paths", "haproxy_additional_hosts", "webstack_redirect_from",
    "webstack_sites.redirect_from", "webstack_app_shared_directories",
}  # fmt: skip
# PEM, and words of commands, which may be whole programs, or empty.
MAY_BE_ANYTHING = re.compile(
    r"webstack_authority_\w+|app_server_(command|migrate|(background|timers)\.command)|keepalived_notify_command"
)
# Lists that must not be empty.
NEEDS_ONE = {
    "webstack_virtual_addresses.addresses",
    "acme_certificates.domains", "app_server_background.command", "app_server_timers.command", "webstack_sites.domains",
    "haproxy_tls_ciphers", "haproxy_tls_ciphersuites", "haproxy_tls_curves", "mysql_server_addresses",
}  # fmt: skip


class Part(NamedTuple):
    """A part of a variable's value: the name of its option, where it stands, what it is, and its option."""

    key: str
    where: str
    value: Any
    option: Option


def parts(part: Part) -> Iterator[Part]:
    """A value and everything inside of it that has an option."""
    yield part
    key, where, value, option = part
    kind = type_of(option)
    if kind == "list" and isinstance(value, list):
        for index, element in enumerate(value):
            yield from parts(Part(key, f"{where}[{index}]", element, elements_of(option)))
    elif kind == "dict" and isinstance(value, Mapping):
        options = option.get("options") or {}
        for name in value.keys() & options.keys():
            yield from parts(Part(f"{key}.{name}", f"{where}.{name}", value[name], options[name]))
        if not options and key in FORMS:
            for name, element in value.items():
                yield from parts(Part(key, f"{where}.{name}", element, {"type": "str"}))


def form_of(key: str) -> Form | None:
    """The form that values of an option have."""
    return PORT if key.rpartition(".")[2] == "port" or key.endswith("_port") else FORMS.get(key)


def value_problems(name: str, value: Any, option: Option, raw: Any = None) -> Iterator[str]:
    """What is wrong with a variable's value, besides its type; raw is how it was given."""
    for part in parts(Part(name, name, value, option)):
        fault = fault_of(part)
        if fault:
            shown = "null" if part.value is None else "the given value" if hidden(part, raw) else repr(part.value)
            yield f"{part.where} = {shown} {fault}."
    if isinstance(value, Mapping):
        yield from mapping_problems(name, value)


def has_nothing(name: str, value: Any, option: Option) -> bool:
    """Whether something inside of a value is null and may not be."""
    return any(part.value is None and fault_of(part) for part in parts(Part(name, name, value, option)))


def hidden(part: Part, raw: Any) -> bool:
    """Whether a value is not shown: one that is secret, and text of any form, which a URL with a password may be."""
    free = bool(part.value) and isinstance(part.value, str) and not form_of(part.key)
    return free or bool(SECRET.search(part.where)) or is_vaulted(part.value) or is_vaulted(raw)


def mapping_problems(name: str, value: Mapping[Any, Any]) -> Iterator[str]:
    """What is wrong with names and values of a mapping whose names are the user's own."""
    form = NAMES.get(name)
    for inner, text in value.items():
        if form and not form.fits(str(inner)):
            yield f"{name} has {str(inner)!r}, which {form.not_one}: {form.fix}."
        elif name in OF_TEXT and (text is None or isinstance(text, (list, Mapping))):
            yield f"{name}[{inner}] is not text: write it in quotes, or as one block that begins with '|'."
        elif name in OF_TEXT and name != "app_server_files" and UNREADABLE.search(str(text)):
            yield f"{name}[{inner}] has a control character, which is not taken: remove it."


def fault_of(part: Part) -> str | None:
    """What is wrong with one part of a value, and how to write it."""
    key, where, value, option = part
    if value is None:
        if option.get("required"):
            return "is no value, and one is required: give it one"
        if MAY_BE_NULL.fullmatch(key):
            return None
        return "is no value: give it one, or leave it out to have the default"
    if isinstance(value, list):
        if not value and (key in NEEDS_ONE or where.endswith("]")):
            return "is empty, and has to have an element: add it, or leave it out"
        return None
    if isinstance(value, (Mapping, bool)) or is_template(value) or SECRET.search(where) or option.get("choices"):
        return None
    return fault_of_text(key, where, str(value), option)


def fault_of_text(key: str, where: str, text: str, option: Option) -> str | None:
    """What is wrong with text or a number."""
    form = form_of(key)
    if form:
        try:
            right = form.fits(text)
        except ValueError:
            # It is no number, which is reported elsewhere.
            return None
        return None if right else f"{form.not_one}: {form.fix}"
    if type_of(option) in ("int", "float", "dict", "list"):
        return None
    if MAY_BE_ANYTHING.fullmatch(key):
        return None
    if CONTROL.search(text):
        return "has a line break or another control character: remove it; YAML's | and > end text with one"
    if not text.strip() and option.get("default") != "" and key not in MAY_BE_EMPTY and type_of(option) != "raw":
        return f"is empty: give it a value, or {'remove the element' if where.endswith(']') else 'leave it out'}"
    return None


def pair_problems(value: Callable[[str], Any]) -> Iterable[str]:
    """Values that exclude each other."""
    days, renewed = value("pki_days"), value("pki_renew_days")
    if isinstance(days, int) and isinstance(renewed, int) and renewed >= days:
        yield (
            f"pki_renew_days = {renewed} is not less than pki_days = {days}, and every run would renew every "
            "certificate: make it smaller."
        )
