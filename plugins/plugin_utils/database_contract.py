# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be true of the database servers and of their variables, before anything is changed.

Pure, as the inventory contract, of which it is a part.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..module_utils.mysql.values import option_name, option_value, same

if TYPE_CHECKING:
    from .inventory_contract import Stack

# Accounts of the stack by the variables of their names, with those of their passwords.
ACCOUNTS = {
    "webstack_app_user": "webstack_app_password",
    "webstack_app_reader_user": "webstack_app_reader_password",
    "webstack_replication_user": "webstack_replication_password",
    "webstack_verification_user": "webstack_verification_password",
    "webstack_switchover_user": "webstack_switchover_password",
    "mysql_primary_administration_user": "mysql_primary_administration_password",
    "mysql_primary_monitoring_user": "",
    "webstack_mysql_health_user": "",
}
LONGEST_NAME = 32
# Names that are checked with those of the application.
CHECKED_ELSEWHERE = {"webstack_app_user", "webstack_app_reader_user"}
# Bytes that a replication channel takes for its password.
LONGEST_REPLICATION_PASSWORD = {"mysql": 32, "mariadb": 96}
LETTER_CASE = "lower_case_table_names"
FIXED = (LETTER_CASE, "innodb_page_size", "innodb_data_file_path")
# Settings by which other nodes find the server, and the variables that set them for all.
DECIDED_BY = {
    "port": "webstack_mysql_port",
    "socket": "webstack_mysql_socket",
    "server_id": "mysql_server_id",
    "bind_address": "mysql_server_addresses",
    "report_host": "webstack_address",
}
# What plugin_load_add has to name.
SEMI_SYNC_PLUGINS = ("semisync_source.so", "semisync_replica.so")
# Variables that are lists of database hosts.
OF_HOSTS = ("mysql_replica_rebuild", "mysql_server_enable_gtid")
# Places that systemd or AppArmor deny the server.
FORBIDDEN = ("/home", "/root", "/boot", "/etc", "/usr", "/run", "/tmp", "/proc", "/sys", "/dev")  # noqa: S108 - names
# What a password that is generated looks like.
GENERATED = "aB3" * 10 + "aB"


def wanted_settings(stack: Stack, host: str) -> dict[str, Any]:
    """Settings of the host's server by the one spelling of their names."""
    given = stack.value(host, "mysql_server_settings")
    engine = str(stack.value(host, "webstack_mysql_engine"))
    return {option_name(name, engine): value for name, value in given.items()} if isinstance(given, Mapping) else {}


def running(stack: Stack, host: str) -> Mapping[str, Any]:
    """The running server in the survey; empty where none runs."""
    return (stack.survey(host).get("database") or {}).get("server") or {}


def check_settings(stack: Stack) -> Iterable[str]:
    """Every setting of a server has one value, which fits on a line."""
    for host in stack.members("mysql"):
        given = stack.value(host, "mysql_server_settings")
        if not isinstance(given, Mapping):
            continue
        spelled = defaultdict(list)
        for name, value in given.items():
            spelled[option_name(name, str(stack.value(host, "webstack_mysql_engine")))].append(str(name))
            if isinstance(value, (list, Mapping)) or "\n" in option_value(value):
                yield (
                    f"{host}: mysql_server_settings: {name} = {value!r} is not one line: "
                    "write it as in the server's option file, lists with commas."
                )
        for names in spelled.values():
            if len(names) > 1:
                yield (
                    f"{host}: mysql_server_settings: {' and '.join(names)} are the same setting, with the values "
                    f"{' and '.join(repr(given[name]) for name in names)}: keep one of them."
                )


def check_settings_of_variables(stack: Stack) -> Iterable[str]:
    """No setting replaces a variable by which other nodes find the server."""
    for host in stack.members("mysql"):
        given = stack.value(host, "mysql_server_settings")
        for name, value in given.items() if isinstance(given, Mapping) else ():
            variable = DECIDED_BY.get(option_name(name).removeprefix("loose_"))
            if variable:
                yield (
                    f"{host}: mysql_server_settings: {name} = {value!r} would not be known to the other nodes: "
                    f"remove it and set {variable}."
                )


def check_semi_sync(stack: Stack) -> Iterable[str]:
    """There are enough replicas to acknowledge, and the servers load what that needs."""
    hosts = stack.everybody("mysql")
    for host in stack.members("mysql"):
        if not stack.value(host, "webstack_semi_sync"):
            continue
        wanted, others = stack.value(host, "webstack_semi_sync_replicas"), len(hosts) - 1
        if wanted > others:
            yield (
                f"{host}: webstack_semi_sync_replicas = {wanted}, and the group mysql has {others} host(s) besides it: "
                + (f"use {others} or less." if others else "add a replica, or set webstack_semi_sync to false.")
            )
        if wanted > 1 and stack.value(host, "webstack_mysql_engine") == "mariadb":
            yield f"{host}: webstack_semi_sync_replicas = {wanted}, and MariaDB waits for one replica: use 1."
        loaded = wanted_settings(stack, host).get("plugin_load_add")
        missing = [name for name in SEMI_SYNC_PLUGINS if name not in str(loaded)]
        if loaded is not None and missing and stack.value(host, "webstack_mysql_engine") == "mysql":
            yield (
                f"{host}: mysql_server_settings: plugin_load_add = {loaded!r} leaves out what webstack_semi_sync "
                f"needs: add ;{';'.join(missing)} to it."
            )


def check_named_hosts(stack: Stack) -> Iterable[str]:
    """Hosts that a variable names are hosts of the group mysql."""
    hosts = stack.everybody("mysql")
    for variable in OF_HOSTS:
        values = [stack.value(host, variable) for host in stack.members("mysql")]
        names = [str(name) for value in values if isinstance(value, (list, tuple)) for name in value]
        for name in dict.fromkeys(names):
            if name not in hosts:
                yield f"{variable} = {name!r} names no host of group mysql: name one of {', '.join(hosts)}."


def passwords(stack: Stack, host: str) -> Iterable[tuple[str, str, str]]:
    """Accounts that log in with a password: the variable, the account's name and the password.

    For one that is not given, a text of the same shape as generated ones: reading the variable would generate it.
    """
    for user, variable in ACCOUNTS.items():
        if variable:
            given = stack.value(host, variable) if variable in stack.given[host] else GENERATED
            yield variable, str(stack.value(host, user)), str(given)
    more = stack.value(host, "mysql_primary_accounts")
    for account in more if isinstance(more, list) else []:
        if isinstance(account, Mapping) and account.get("password") is not None:
            name = str(account.get("name"))
            yield f"mysql_primary_accounts[{name}].password", name, str(account["password"])


def check_accounts(stack: Stack) -> Iterable[str]:
    """The accounts can be created: the servers accept their names and passwords."""
    for host in stack.members("mysql"):
        engine = str(stack.value(host, "webstack_mysql_engine"))
        for variable in sorted(ACCOUNTS.keys() - CHECKED_ELSEWHERE):
            name = stack.value(host, variable)
            if name is not None and not re.fullmatch(rf"[A-Za-z0-9_.-]{{1,{LONGEST_NAME}}}", str(name)):
                yield (
                    f"{host}: {variable} = {str(name)!r} cannot name an account: "
                    f"letters, digits, '_', '.' and '-', at most {LONGEST_NAME}."
                )
        rules = password_rules(stack, host)
        for variable, user, password in passwords(stack, host):
            for fault in faults(password, user, rules):
                yield f"{host}: {variable} {fault}"
        longest = LONGEST_REPLICATION_PASSWORD.get(engine, 96)
        variable = "webstack_replication_password"
        given = stack.value(host, variable) if variable in stack.given[host] else ""
        if len(str(given).encode()) > longest:
            yield (
                f"{host}: {variable} has {len(str(given).encode())} bytes and a replication channel of {engine} takes "
                f"{longest}: give a shorter one."
            )


def password_rules(stack: Stack, host: str) -> dict[str, str]:
    """Variables by which the host's server checks passwords: as it runs, with the wanted settings applied."""
    variables = {**(running(stack, host).get("variables") or {}), **wanted_settings(stack, host)}
    found = {}
    for name, value in variables.items():
        # As a component its variables have a dot, as a plugin none.
        match = re.fullmatch(r"(validate_password|simple_password_check)[._](\w+)", name)
        if match:
            found[f"{match[1]}.{match[2]}"] = option_value(value).upper()
    return found


def faults(password: str, user: str, rules: Mapping[str, str]) -> Iterable[str]:
    """Why the server, or a program that gets it, would refuse a password; the password itself is not shown."""
    if not password:
        yield "is empty: give a password, or leave the variable out to have one generated."
        return
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in password):
        yield "contains a line break or another control character: a vault value often ends in one; remove it."
    counts = {
        "lower case letters": sum(letter.islower() for letter in password),
        "capital letters": sum(letter.isupper() for letter in password),
        "digits": sum(letter.isdigit() for letter in password),
        "special characters": sum(not letter.isalnum() for letter in password),
        "characters": len(password),
    }
    for what, (least, rule) in required(rules).items():
        if counts[what] < least:
            yield (
                f"has {counts[what]} {what} and the server's {rule} asks for {least}: "
                "give one that has, or lower the server's rule."
            )
    if rules.get("validate_password.check_user_name") == "ON" and password.lower() in (
        user.lower(),
        user[::-1].lower(),
    ):
        yield "is the name of its account, which the server's validate_password.check_user_name forbids: give another."


def required(rules: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """The least number of each kind of characters, and the variable that requires it."""
    found: dict[str, tuple[int, str]] = {}

    def least(what: str, rule: str) -> None:
        if rules.get(rule, "").isdigit() and int(rules[rule]) > found.get(what, (0, ""))[0]:
            found[what] = (int(rules[rule]), rule)

    policy = rules.get("validate_password.policy")
    if policy:
        least("characters", "validate_password.length")
    if policy and policy not in ("LOW", "0"):
        least("lower case letters", "validate_password.mixed_case_count")
        least("capital letters", "validate_password.mixed_case_count")
        least("digits", "validate_password.number_count")
        least("special characters", "validate_password.special_char_count")
    least("characters", "simple_password_check.minimal_length")
    least("lower case letters", "simple_password_check.letters_same_case")
    least("capital letters", "simple_password_check.letters_same_case")
    least("digits", "simple_password_check.digits")
    least("special characters", "simple_password_check.other_characters")
    return found


def database(stack: Stack, host: str) -> Mapping[str, Any]:
    """The database of the host in the survey."""
    return stack.survey(host).get("database") or {}


def engine(stack: Stack, host: str) -> str:
    """Engine that the host is to run."""
    return str(stack.value(host, "webstack_mysql_engine"))


def named(stack: Stack, host: str, variable: str) -> bool:
    """Whether a list of hosts names this one; a string names none, because a part of it would match, too."""
    given = stack.value(host, variable)
    return isinstance(given, (list, tuple)) and host in given


def check_logins(stack: Stack) -> Iterable[str]:
    """An existing server accepts the login of its administrator, and all have the same password."""
    given = {str(stack.value(host, "webstack_mysql_login_password") or "") for host in stack.members("mysql")}
    if len(given) > 1:
        yield (
            f"webstack_mysql_login_password differs between {', '.join(stack.members('mysql'))}, and a replica gets "
            "the accounts of its primary: set it once, for the group mysql."
        )
    for host in stack.members("mysql"):
        refused = running(stack, host).get("refused")
        if refused:
            yield (
                f"{host}: the database server that runs there refuses its administrator: {refused}. "
                "Give the password as webstack_mysql_login_password, best from a vault, and the account, where it is "
                "not root, as webstack_mysql_login_user."
            )


def check_gtids(stack: Stack) -> Iterable[str]:
    """A MySQL with data has GTIDs on, or may be switched to them."""
    for host in stack.members("mysql"):
        mode = (running(stack, host).get("variables") or {}).get("gtid_mode", "ON")
        given = stack.value(host, "mysql_server_enable_gtid")
        if isinstance(given, str) and given:
            yield (
                f"{host}: mysql_server_enable_gtid = {given!r} is not a list of hosts: "
                f'write it as -e \'{{"mysql_server_enable_gtid": ["{host}"]}}\'.'
            )
        if mode != "ON" and database(stack, host).get("schemas") and not named(stack, host, "mysql_server_enable_gtid"):
            yield (
                f"{host}: gtid_mode is {mode} on the server with data that runs there, and replication goes by GTID: "
                f'-e \'{{"mysql_server_enable_gtid": ["{host}"]}}\' switches it to ON while it runs, step by step. '
                "Replicas that are not in this inventory have to take each step with it."
            )


def check_data_directories(stack: Stack) -> Iterable[str]:
    """The data are in the configured directory, and the server may use that directory."""
    for host in stack.members("mysql"):
        wanted = wanted_settings(stack, host).get("datadir")
        if wanted is not None and not re.fullmatch(r"(/[A-Za-z0-9_.-]+)+/?", str(wanted)):
            yield f"{host}: mysql_server_settings: datadir = {wanted!r} is not a usable path: name it from / on."
        elif wanted is not None and str(wanted).startswith(FORBIDDEN):
            yield (
                f"{host}: mysql_server_settings: datadir = {wanted!r} is where the server's unit or profile does not "
                "let it write: choose another place, for example /srv/mysql."
            )
        for path, schemas in (database(stack, host).get("elsewhere") or {}).items():
            yield (
                f"{host}: mysql_server_settings: datadir = {wanted!r}, but the data ({', '.join(schemas)}) are in "
                f"{path}, and no setting moves them: stop the server and move them yourself, or correct the setting."
            )


def check_fixed_settings(stack: Stack) -> Iterable[str]:
    """Settings that are fixed with the data directory stay, and names are compared alike on all servers."""
    has: dict[str, str] = {}
    for host in stack.members("mysql"):
        variables = running(stack, host).get("variables") or {}
        wanted, schemas = wanted_settings(stack, host), database(stack, host).get("schemas")
        for name in FIXED:
            if schemas and name in variables and name in wanted and not same(variables[name], wanted[name]):
                yield (
                    f"{host}: mysql_server_settings: {name} = {wanted[name]}, but the server with data "
                    f"({', '.join(schemas)}) has {variables[name]}, and that is fixed when a server is made: "
                    "remove the setting, or load a dump into a new server."
                )
        letters = variables.get(LETTER_CASE)
        has[host] = letters if schemas and letters is not None else option_value(wanted.get(LETTER_CASE) or 0)
    if len(set(has.values())) > 1:
        listed = ", ".join(f"{value} on {host}" for host, value in has.items())
        yield (
            f"mysql_server_settings: {LETTER_CASE} would be {listed}, and replicas have that of their primary: "
            "set it for the group mysql."
        )


def check_time_zones(stack: Stack) -> Iterable[str]:
    """A server that is started with a time zone has it loaded."""
    for host in stack.members("mysql"):
        wanted = str(wanted_settings(stack, host).get("default_time_zone") or "SYSTEM")
        loaded = running(stack, host).get("time_zones")
        offset = re.fullmatch(r"SYSTEM|[+-]\d{1,2}:\d\d", wanted, re.IGNORECASE)
        if stack.answered(host) and not offset and not loaded:
            yield (
                f"{host}: mysql_server_settings: time_zone = {wanted!r} is not known to a server whose time zones are "
                "not loaded yet, and it would not start: use an offset as '+01:00' for the first run."
            )


def check_copies(stack: Stack) -> Iterable[str]:
    """A server that is copied to an empty replica has no tables that the copy would leave empty."""
    hosts = [host for host in stack.members("mysql") if engine(stack, host) == "mysql" and stack.answered(host)]
    empty = [
        host
        for host in hosts
        if not database(stack, host).get("schemas") or named(stack, host, "mysql_replica_rebuild")
    ]
    for host in hosts:
        tables = running(stack, host).get("not_cloned") or []
        others = [each for each in empty if each != host]
        if tables and others and host not in empty:
            yield left_empty(host, tables, others)


def left_empty(host: str, tables: list[str], copies: list[str]) -> str:
    """Why a server is not copied."""
    listed = ", ".join(tables[:10]) + (f" and {len(tables) - 10} more" if len(tables) > 10 else "")
    return (
        f"{host}: has tables that are not in InnoDB ({listed}), which a copy would leave empty on {', '.join(copies)}: "
        "convert each with ALTER TABLE ... ENGINE=InnoDB, or load a dump into the replica yourself."
    )


CHECKS = (
    check_settings, check_settings_of_variables, check_semi_sync, check_named_hosts, check_accounts, check_logins,
    check_gtids, check_data_directories, check_fixed_settings, check_time_zones, check_copies,
)  # fmt: skip
