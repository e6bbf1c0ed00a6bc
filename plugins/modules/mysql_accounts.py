#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_accounts
short_description: Databases, accounts and grants of a MySQL or MariaDB server in one round trip
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Creates databases and accounts, and gives accounts exactly the wanted authentication, TLS requirement, limits and
    privileges.
  - A password is compared with the stored digest, so it is changed only when it differs.
  - Databases and accounts that are not listed are left alone. No database is ever dropped.
extends_documentation_fragment: pentad.webstack.mysql
attributes:
  check_mode:
    description: Can run in check mode, without changing the server.
    support: full
  diff_mode:
    description: Returns what has changed, when in diff mode.
    support: full
    details: Passwords and their digests are never shown.
  idempotent:
    description: Running it again changes nothing.
    support: full
options:
  databases:
    description: Databases that must exist.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the database., type: str, required: true}
      encoding: {description: Default character set. Left alone when not given., type: str}
      collation: {description: Default collation. Left alone when not given., type: str}
  accounts:
    description: Accounts that must exist as described.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: User name., type: str, required: true}
      host: {description: Host part of the account., type: str, default: localhost}
      state:
        description: Whether the account exists.
        type: str
        choices: [present, absent]
        default: present
      auth:
        description:
          - V(password) uses C(caching_sha2_password) on MySQL and C(mysql_native_password) on MariaDB.
          - V(socket) lets the system user of the same name in over the Unix socket.
        type: str
        choices: [password, socket]
        default: password
      password:
        description: Password. Needed to create an account with O(accounts[].auth=password); an existing one
          stays when not given.
        type: str
      privileges:
        description:
          - Privileges per target, for example V({"app.*":["SELECT", "INSERT"]}). Others are revoked. Left alone when
            not given.
          - In the name of a database C(_) and C(%) are wildcards, as in the server's own C(GRANT).
        type: dict
      require_tls: {description: Whether the account may log in over TLS only. Left alone when not given., type: bool}
      max_user_connections: {description: Most connections at once; 0 is no limit. Left alone when not given., type:
        int}
      locked: {description: Whether the account is locked. Left alone when not given., type: bool}
      comment: {description: Comment on the account (MySQL). Left alone when not given., type: str}
  remove_anonymous:
    description: Drop accounts without a name.
    type: bool
    default: false
  binlog:
    description:
      - Whether the changes are written to the binary log, and so reach the replicas.
      - With V(false) a read-only server can be changed, too; C(super_read_only) is then lifted for that moment while
        C(read_only) stays.
    type: bool
    default: true
seealso:
  - module: pentad.webstack.mysql_replication_verify
"""

EXAMPLES = r"""
- name: Database and accounts of the application
  pentad.webstack.mysql_accounts:
    login_user: root
    login_unix_socket: /run/mysqld/mysqld.sock
    databases:
      - {name: app, encoding: utf8mb4}
    accounts:
      - name: app
        host: 192.0.2.%
        password: "{{ vault_app_password }}"
        require_tls: true
        privileges:
          app.*: [SELECT, INSERT, UPDATE, DELETE]
      - name: repl
        host: 192.0.2.%
        password: "{{ vault_replication_password }}"
        require_tls: true
        privileges:
          "*.*": [REPLICATION SLAVE]
      - name: mysql-health
        auth: socket
        privileges:
          "*.*": [REPLICATION CLIENT]
    remove_anonymous: true
"""

RETURN = r"""
databases:
  description: What changed per database.
  returned: always
  type: dict
  sample: {app: [created]}
accounts:
  description: What changed per account.
  returned: always
  type: dict
  sample: {"app@192.0.2.%": [created, "granted SELECT ON `app`.*"], "repl@192.0.2.%": []}
notes:
  description: Options that this server does not support.
  returned: always
  type: list
  elements: str
  sample: []
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import Connection, ConnectionOptions, DatabaseError, argument_spec, quote
from ..module_utils.mysql.credentials import matches_caching_sha2, matches_native
from ..module_utils.mysql.grants import (
    EVERYTHING,
    GRANT_OPTION,
    GrantError,
    changes,
    clause,
    parse_show_grants,
    parse_wanted,
    target_sql,
)

_MYSQL_USERS = """
    SELECT User AS user, Host AS host, plugin, HEX(authentication_string) AS digest, ssl_type,
      max_user_connections, account_locked, User_attributes AS attributes FROM mysql.user"""
_MARIADB_USERS = "SELECT User AS user, Host AS host, Priv AS priv FROM mysql.global_priv"
_HINTS = {
    1227: "The login needs CREATE USER, and GRANT OPTION for what it grants.",
    1044: "The login needs the privilege it grants, with GRANT OPTION.",
    1045: "The login needs GRANT OPTION.",
    1410: "The login may not create accounts by GRANT.",
    1819: "The password does not meet the server's password policy.",
    1290: "The server is read-only.",
    1836: "The server is read-only.",
    1146: "Privileges on a table need the table.",
}


class Account:
    """An account as the server has it."""

    def __init__(self, row: dict[str, Any], mariadb: bool) -> None:
        self.methods: list[tuple[str, str]] = []
        if mariadb:
            self._from_mariadb(json.loads(row["priv"]))
            return
        self.methods = [(row["plugin"], row["digest"] or "")]
        self.tls = {"": "none", "ANY": "ssl"}.get(row["ssl_type"], "x509")
        self.max_user_connections = int(row["max_user_connections"] or 0)
        self.locked = row["account_locked"] == "Y"
        attributes = json.loads(row["attributes"]) if row["attributes"] else {}
        self.comment = (attributes.get("metadata") or {}).get("comment")

    def _from_mariadb(self, priv: dict[str, Any]) -> None:
        main = (priv.get("plugin") or "mysql_native_password", priv.get("authentication_string") or "")
        for entry in priv.get("auth_or") or [{}]:
            # The empty entry stands for the account's own plugin.
            self.methods.append((entry["plugin"], entry.get("authentication_string") or "") if entry else main)
        self.tls = {0: "none", 1: "ssl"}.get(int(priv.get("ssl_type") or 0), "x509")
        self.max_user_connections = int(priv.get("max_user_connections") or 0)
        self.locked = bool(priv.get("account_locked"))
        self.comment = None

    def by_socket(self) -> bool:
        """Whether it logs in as the system account of its name."""
        plugins = [p for p, digest in self.methods if not (p == "mysql_native_password" and digest == "invalid")]
        return bool(plugins) and all(p in {"auth_socket", "unix_socket"} for p in plugins)

    def has_password(self, password: str, mariadb: bool) -> bool:
        """Whether it logs in by this password and nothing else."""
        if len(self.methods) != 1:
            return False
        plugin, digest = self.methods[0]
        if mariadb:
            return plugin == "mysql_native_password" and matches_native(password, digest)
        return plugin == "caching_sha2_password" and matches_caching_sha2(password, bytes.fromhex(digest))


class Manager:
    """Plans and runs the statements for one server."""

    def __init__(self, connection: Connection, params: dict[str, Any]) -> None:
        self.connection, self.params = connection, params
        self.mariadb = connection.dialect.mariadb
        self.plan: list[tuple[str, tuple[Any, ...], str]] = []
        self.done: dict[str, dict[str, list[str]]] = {"databases": {}, "accounts": {}}
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self.notes: list[str] = []
        self._every: list[str] | None = None

    def _add(self, statement: str, arguments: tuple[Any, ...] = (), about: str = "") -> None:
        self.plan.append((statement, arguments, about))

    # --- databases --------------------------------------------------------------------------------------------------

    def databases(self) -> None:
        """Plan the statements for the databases."""
        if not self.params["databases"]:
            return
        rows = self.connection.rows(
            "SELECT SCHEMA_NAME AS name, DEFAULT_CHARACTER_SET_NAME AS encoding,"
            " DEFAULT_COLLATION_NAME AS collation FROM information_schema.SCHEMATA"
        )
        have = {row["name"]: row for row in rows}
        for wanted in self.params["databases"]:
            self._database(wanted, have.get(wanted["name"]))

    def _database(self, wanted: dict[str, Any], have: dict[str, Any] | None) -> None:
        name, changed = wanted["name"], []
        differs = [
            k for k in ("encoding", "collation") if wanted[k] and (have is None or not _same(wanted[k], have[k]))
        ]
        words = {"encoding": "CHARACTER SET", "collation": "COLLATE"}
        options = " ".join(f"{words[k]} {quote(wanted[k])}" for k in ("encoding", "collation") if wanted[k])
        if have is None:
            self._add(f"CREATE DATABASE {quote(name)} {options}".strip(), (), f"database {name}")
            changed.append("created")
        elif differs:
            self._add(f"ALTER DATABASE {quote(name)} {options}", (), f"database {name}")
            changed += [f"{k} {have[k]} -> {wanted[k]}" for k in differs]
        if changed:
            self.before[f"database {name}"] = {k: have[k] for k in words} if have else None
            self.after[f"database {name}"] = {k: wanted[k] or (have or {}).get(k) for k in words}
        self.done["databases"][name] = changed

    # --- accounts ---------------------------------------------------------------------------------------------------

    def accounts(self) -> None:
        """Plan the statements for the accounts."""
        rows = self.connection.rows(_MARIADB_USERS if self.mariadb else _MYSQL_USERS)
        have = {(row["user"], row["host"]): row for row in rows}
        if self.params["remove_anonymous"]:
            for user, host in sorted(have):
                if not user:
                    self._drop(user, host)
        for wanted in self.params["accounts"]:
            key = (wanted["name"], wanted["host"])
            if wanted["state"] == "absent":
                if key in have:
                    self._drop(*key)
                else:
                    self.done["accounts"]["@".join(key)] = []
                continue
            self._account(wanted, Account(have[key], self.mariadb) if key in have else None)

    def _drop(self, user: str, host: str) -> None:
        label = f"{user}@{host}"
        self._add("DROP USER %s@%s", (user, host), f"account {label}")
        self.done["accounts"][label] = ["removed"]
        self.before[f"account {label}"], self.after[f"account {label}"] = {"exists": True}, None

    def _account(self, wanted: dict[str, Any], have: Account | None) -> None:
        label = f"{wanted['name']}@{wanted['host']}"
        changed: list[str] = []
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        identified, values = self._identified(wanted, have, changed)
        options, option_values = self._options(wanted, have, changed, before, after)
        if have is None:
            changed.insert(0, "created")
        if have is None or identified or options:
            verb = "CREATE" if have is None else "ALTER"
            statement = " ".join(part for part in (f"{verb} USER %s@%s", identified, options) if part)
            self._add(statement, (wanted["name"], wanted["host"], *values, *option_values), f"account {label}")
        if wanted["privileges"] is not None:
            self._privileges(wanted, have, label, changed, before, after)
        if changed:
            self.before[f"account {label}"] = before if have else None
            self.after[f"account {label}"] = {"changes": changed, **after}
        self.done["accounts"][label] = changed

    def _identified(
        self, wanted: dict[str, Any], have: Account | None, changed: list[str]
    ) -> tuple[str, tuple[Any, ...]]:
        """The authentication clause, empty if the account already authenticates as wanted."""
        if wanted["auth"] == "socket":
            if have and have.by_socket():
                return "", ()
            changed.append("authentication by socket")
            if self.mariadb:
                return "IDENTIFIED VIA unix_socket", ()
            self._socket_plugin()
            return "IDENTIFIED WITH auth_socket", ()
        password = wanted["password"]
        if password is None or have and have.has_password(password, self.mariadb):
            return "", ()
        changed.append("password")
        if self.mariadb:
            return "IDENTIFIED VIA mysql_native_password USING PASSWORD(%s)", (password,)
        return "IDENTIFIED WITH caching_sha2_password BY %s", (password,)

    def _socket_plugin(self) -> None:
        status = self.connection.value(
            "SELECT PLUGIN_STATUS FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'auth_socket'"
        )
        statement = "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'"
        if status is None and not any(planned[0] == statement for planned in self.plan):
            self._add(statement, (), "plugin auth_socket")

    def _options(
        self,
        wanted: dict[str, Any],
        have: Account | None,
        changed: list[str],
        before: dict[str, Any],
        after: dict[str, Any],
    ) -> tuple[str, tuple[Any, ...]]:
        parts: list[str] = []
        values: list[Any] = []
        tls = have.tls if have else "none"
        if wanted["require_tls"] is not None and wanted["require_tls"] != (tls != "none"):
            parts.append("REQUIRE SSL" if wanted["require_tls"] else "REQUIRE NONE")
            changed.append("TLS required" if wanted["require_tls"] else "TLS not required")
            before["require_tls"], after["require_tls"] = tls != "none", wanted["require_tls"]
        limit = wanted["max_user_connections"]
        if limit is not None and limit != (have.max_user_connections if have else 0):
            parts.append("WITH MAX_USER_CONNECTIONS %s")
            values.append(limit)
            changed.append(f"at most {limit} connections")
            before["max_user_connections"] = have.max_user_connections if have else 0
            after["max_user_connections"] = limit
        if wanted["locked"] is not None and wanted["locked"] != (have.locked if have else False):
            parts.append("ACCOUNT LOCK" if wanted["locked"] else "ACCOUNT UNLOCK")
            changed.append("locked" if wanted["locked"] else "unlocked")
            before["locked"], after["locked"] = not wanted["locked"], wanted["locked"]
        if wanted["comment"] is not None:
            self._comment(wanted, have, changed, parts, values)
        return " ".join(parts), tuple(values)

    def _comment(
        self, wanted: dict[str, Any], have: Account | None, changed: list[str], parts: list[str], values: list[Any]
    ) -> None:
        if self.mariadb:
            note = "MariaDB has no comments on accounts; comment is ignored."
            if note not in self.notes:
                self.notes.append(note)
        elif wanted["comment"] != (have.comment if have else None):
            parts.append("COMMENT %s")
            values.append(wanted["comment"])
            changed.append("comment")

    def _privileges(
        self, wanted: dict[str, Any], have: Account | None, label: str, changed: list[str],
        before: dict[str, Any], after: dict[str, Any],
    ) -> None:  # fmt: skip
        want = parse_wanted(wanted["privileges"], self.mariadb)
        user = (wanted["name"], wanted["host"])
        has: dict[Any, Any] = {}
        if have is not None:
            rows = self.connection.rows("SHOW GRANTS FOR %s@%s", user)
            has = parse_show_grants((str(next(iter(row.values()))) for row in rows), self.mariadb)
        grant, revoke = changes(has, want, self._everything() if EVERYTHING in want else ())
        about = f"account {label}"
        for target, privileges in sorted(revoke.items()):
            names, option = clause(privileges)
            # MySQL keeps the grant option per dynamic privilege: it is removed only together with the privilege.
            dynamic = ""
            if option and target == EVERYTHING and not self.mariadb:
                dynamic, _option = clause({p for p in has[target] - privileges if "_" in p.name})
            if dynamic:
                self._add(f"REVOKE {dynamic} ON *.* FROM %s@%s", user, about)
            # The server takes ALL PRIVILEGES and GRANT OPTION together only without a target.
            for listed in filter(None, (names, GRANT_OPTION if option else "")):
                self._add(f"REVOKE {_plain(listed)} ON {_plain(target_sql(target))} FROM %s@%s", user, about)
                changed.append(f"revoked {listed} ON {target_sql(target)}")
            if dynamic:
                self._add(f"GRANT {dynamic} ON *.* TO %s@%s", user, about)
        for target, privileges in sorted(grant.items()):
            names, option = clause(privileges)
            tail = " WITH GRANT OPTION" if option else ""
            names = names or "USAGE"
            self._add(f"GRANT {_plain(names)} ON {_plain(target_sql(target))} TO %s@%s{tail}", user, about)
            changed.append(f"granted {names} ON {target_sql(target)}{tail}")
        if grant or revoke:
            before["privileges"], after["privileges"] = _readable(has), _readable(want)

    def _everything(self) -> list[str]:
        """The names that MySQL lists in place of ALL PRIVILEGES ON *.*."""
        if self._every is None:
            self._every = []
            if not self.mariadb:
                names = (str(row["Privilege"]).upper() for row in self.connection.rows("SHOW PRIVILEGES"))
                self._every = [n for n in names if n not in {"USAGE", "PROXY", GRANT_OPTION}]
        return self._every

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the planned statements."""
        if not self.plan:
            return
        name = "read_only" if self.mariadb else "super_read_only"
        fenced = str(self.connection.value(f"SELECT @@GLOBAL.{name} AS v")).upper() not in {"0", "OFF"}
        plain = str(self.connection.value("SELECT @@GLOBAL.read_only AS v")).upper() not in {"0", "OFF"}
        binlog = self.params["binlog"]
        if plain and binlog:
            todo = ", ".join(dict.fromkeys(about for _s, _a, about in self.plan if about))
            raise DatabaseError(
                f"{self.connection.where} is read-only, so it is a replica or fenced, and these are to change: {todo}. "
                "Run this on the primary, from where the changes replicate, or set binlog=false for accounts of "
                "this server alone."
            )
        lift = fenced and not self.mariadb
        if not binlog:
            self.connection.rows("SET SESSION sql_log_bin = 0")
        if lift:
            # read_only stays on, so ordinary accounts never get to write.
            self.connection.rows("SET GLOBAL super_read_only = OFF")
        try:
            for statement, arguments, about in self.plan:
                self._run(statement, arguments, about)
        finally:
            if lift:
                self.connection.rows("SET GLOBAL super_read_only = ON")

    def _run(self, statement: str, arguments: tuple[Any, ...], about: str) -> None:
        try:
            self.connection.rows(statement, arguments)
        except DatabaseError as error:
            # Not the statement itself: it may hold a password.
            verb = " ".join(statement.split()[:2])
            message, hint = f"{verb} for {about} failed: {error.message}", _HINTS.get(error.errno or 0, "")
            raise DatabaseError(message, error.errno, hint) from error


def _plain(text: str) -> str:
    """Text for a statement with bound values, where a percent sign must be doubled."""
    return text.replace("%", "%%")


def _same(wanted: str, have: Any) -> bool:
    # MariaDB shows utf8mb3 for utf8.
    return {"utf8": "utf8mb3"}.get(wanted.lower(), wanted.lower()) == str(have).lower()


def _readable(privileges: dict[Any, Any]) -> dict[str, list[str]]:
    return {target_sql(target): sorted(p.sql() for p in names) for target, names in sorted(privileges.items())}


def _spec() -> dict[str, Any]:
    spec: dict[str, Any] = argument_spec()
    spec.update(
        databases={
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "encoding": {"type": "str"},
                "collation": {"type": "str"},
            },
        },
        accounts={
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "host": {"type": "str", "default": "localhost"},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "auth": {"type": "str", "choices": ["password", "socket"], "default": "password"},
                "password": {"type": "str", "no_log": True},
                "privileges": {"type": "dict"},
                "require_tls": {"type": "bool"},
                "max_user_connections": {"type": "int"},
                "locked": {"type": "bool"},
                "comment": {"type": "str"},
            },
        },
        remove_anonymous={"type": "bool", "default": False},
        binlog={"type": "bool", "default": True},
    )
    return spec


def complaints(params: dict[str, Any]) -> list[str]:
    """Everything wrong with the input, at once."""
    found = []
    listed: set[tuple[str, str]] = set()
    for account in params["accounts"]:
        label = f"{account['name']}@{account['host']}"
        key = (account["name"], account["host"])
        if key in listed:
            found.append(f"{label} is listed twice")
        listed.add(key)
        if not account["name"]:
            found.append("an account without a name is not created; use remove_anonymous to drop such accounts")
        if account["password"] == "" and account["state"] == "present":
            found.append(f"{label}: an empty password is refused; use auth=socket for a login without one")
        if account["auth"] == "socket" and account["password"]:
            found.append(f"{label}: auth=socket takes no password")
        if account["auth"] == "socket" and account["host"] != "localhost":
            found.append(f"{label}: auth=socket works for the host localhost only")
        try:
            parse_wanted(account["privileges"] or {}, False)
        except GrantError as error:
            found.append(f"{label}: {error}")
    names = [d["name"] for d in params["databases"]]
    found += [f"the database {name} is listed twice" for name in sorted({n for n in names if names.count(n) > 1})]
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_spec(), supports_check_mode=True)
    found = complaints(module.params)
    if found:
        module.fail_json(msg="; ".join(found) + ".")
    try:
        with Connection(ConnectionOptions.from_params(module.params)) as connection:
            manager = Manager(connection, module.params)
            manager.databases()
            manager.accounts()
            missing = [
                f"{a['name']}@{a['host']}"
                for a in module.params["accounts"]
                if a["state"] == "present" and a["auth"] == "password" and a["password"] is None
                and "created" in manager.done["accounts"][f"{a['name']}@{a['host']}"]
            ]  # fmt: skip
            if missing:
                raise DatabaseError(f"A password is needed to create {', '.join(missing)}.")
            if not module.check_mode:
                manager.run()
    except (DatabaseError, GrantError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(manager.plan),
        databases=manager.done["databases"],
        accounts=manager.done["accounts"],
        notes=manager.notes,
        diff={"before": manager.before, "after": manager.after},
    )


if __name__ == "__main__":
    main()
