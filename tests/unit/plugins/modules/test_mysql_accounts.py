from __future__ import annotations

import json

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.credentials import native_hash, sha256_crypt
from ansible_collections.pentad.webstack.plugins.modules import mysql_accounts as module
from scripted_mysql import Server, error


def complaints(*accounts, **options):
    checked = ArgumentSpecValidator(module._spec()).validate({"accounts": list(accounts), **options})
    assert not checked.error_messages, checked.error_messages
    return "; ".join(module.complaints(checked.validated_parameters))


@pytest.mark.parametrize(
    ("account", "word"),
    [
        ({"name": "a", "password": ""}, "an empty password is refused"),
        ({"name": "a", "auth": "socket", "password": "x"}, "takes no password"),
        ({"name": "a", "auth": "socket", "host": "%"}, "localhost only"),
        ({"name": "a", "privileges": {"nodot": ["SELECT"]}}, "is not a target"),
        ({"name": "a", "privileges": {"*.*": ["SELECT; DROP"]}}, "is not the name of a privilege"),
        ({"name": ""}, "remove_anonymous"),
    ],
)
def test_bad_accounts(account, word):
    assert word in complaints(account)


def test_all_at_once_and_doubles():
    text = complaints({"name": "a"}, {"name": "a"}, databases=[{"name": "d"}, {"name": "d"}])
    assert "a@localhost is listed twice" in text
    assert "the database d is listed twice" in text
    assert complaints({"name": "a", "password": "x"}) == ""


def mariadb(**priv):
    return module.Account({"priv": json.dumps(priv)}, True)


def test_socket_accounts_of_mariadb():
    root = {"plugin": "mysql_native_password", "authentication_string": "invalid",
            "auth_or": [{}, {"plugin": "unix_socket"}]}  # fmt: skip
    assert mariadb(**root).by_socket()
    assert not mariadb(**{**root, "authentication_string": native_hash("x")}).by_socket()
    assert mariadb(plugin="unix_socket").by_socket()
    assert not mariadb(plugin="mysql_native_password", authentication_string="").by_socket()


def test_password_of_mariadb():
    account = mariadb(plugin="mysql_native_password", authentication_string=native_hash("pw"), ssl_type=1)
    assert account.has_password("pw", True)
    assert not account.has_password("other", True)
    assert account.tls == "ssl"
    both = mariadb(
        plugin="mysql_native_password", authentication_string=native_hash("pw"), auth_or=[{}, {"plugin": "x"}]
    )
    assert not both.has_password("pw", True), "a second way in is not what was asked for"


def test_account_of_mysql():
    row = {"plugin": "mysql_native_password", "digest": "", "ssl_type": "X509", "max_user_connections": 4,
           "account_locked": "Y", "attributes": '{"metadata": {"comment": "c"}}'}  # fmt: skip
    account = module.Account(row, False)
    assert (account.tls, account.max_user_connections, account.locked, account.comment) == ("x509", 4, True, "c")
    assert not account.has_password("", False), "mysql_native_password is replaced by caching_sha2_password"


# --- run against a scripted server ----------------------------------------------------------------------------------

PASSWORD = "s3cret%pw"
OTHER = "another"


def stored(password):
    """What MySQL keeps of a password."""
    salt = b"0123456789abcdefghij"
    return (b"$A$005$" + salt + sha256_crypt(password.encode(), salt, 5000)).hex()


class Target:
    """A server with accounts and grants, and the module that changes them."""

    def __init__(self, mariadb, network, run_module):
        self.mariadb, self._run = mariadb, run_module
        self.server = network.add("/s.sock", Server("11.8.6-MariaDB" if mariadb else "9.7.4"))
        self.users, self.grants, self.variables = [], {}, {"super_read_only": "0", "read_only": "0"}
        self.server.on("", [])
        self.server.on("SELECT @@version", [{"version": "11.8.6-MariaDB" if mariadb else "9.7.4", "comment": ""}])
        self.server.on("FROM mysql.global_priv" if mariadb else "FROM mysql.user", lambda *_: self.users)
        self.server.on("SHOW GRANTS FOR", lambda _s, user: [{"Grants": g} for g in self.grants["@".join(user)]])
        for name in self.variables:
            self.server.on(f"SELECT @@GLOBAL.{name} AS v", lambda *_, name=name: [{"v": self.variables[name]}])
        self.schemas([])

    def schemas(self, rows):
        self.server.on("information_schema.SCHEMATA", rows)

    def add(self, name, host="localhost", password=PASSWORD, grants=(), **more):
        """An account that is there; more is by the names of MySQL."""
        row = {"user": name, "host": host}
        if self.mariadb:
            priv = {"plugin": "mysql_native_password", "authentication_string": native_hash(password or "")}
            priv.update({"ssl_type": {"": 0, "ANY": 1}[more.get("ssl_type", "")],
                         "max_user_connections": more.get("max_user_connections", 0),
                         "account_locked": more.get("account_locked") == "Y"})  # fmt: skip
            if more.get("plugin"):
                priv.update(plugin="unix_socket", authentication_string="")
            self.users.append({**row, "priv": json.dumps(priv)})
        else:
            row.update(plugin="caching_sha2_password", digest=stored(password).upper(), ssl_type="",
                       max_user_connections=0, account_locked="N", attributes=None)  # fmt: skip
            self.users.append({**row, **more})
        self.grants[f"{name}@{host}"] = [f"GRANT USAGE ON *.* TO `{name}`@`{host}`", *grants]

    def bring(self, *accounts, check=False, **options):
        """What the module answers, in which no password is shown."""
        before = self.orders
        answer = self._run(module, check=check, login_user="root", login_unix_socket="/s.sock",
                           accounts=list(accounts), **options)  # fmt: skip
        assert PASSWORD not in str(answer)
        assert not check or self.orders == before
        return answer

    def brought(self, *accounts, **options):
        """What the module answers, which is the same in check mode, and what the server was told."""
        told = self.bring(*accounts, check=True, **options)
        before = len(self.orders)
        done = self.bring(*accounts, **options)
        assert {**told, "invocation": None} == {**done, "invocation": None}
        return done, self.orders[before:]

    @property
    def orders(self):
        """What the server was told to change."""
        return [statement for statement in self.server.told if not statement.startswith(("SELECT", "SHOW"))]


@pytest.fixture(params=[False, True], ids=["mysql", "mariadb"])
def target(request, network, run_module):
    """A server of either engine."""
    return Target(request.param, network, run_module)


@pytest.fixture
def mysql(network, run_module):
    """A server of MySQL."""
    return Target(False, network, run_module)


@pytest.fixture
def mariadb_server(network, run_module):
    """A server of MariaDB."""
    return Target(True, network, run_module)


# --- databases ------------------------------------------------------------------------------------------------------


def test_a_database_that_is_missing_is_created_as_described(target):
    wanted = [{"name": "100%", "encoding": "utf8mb4", "collation": "utf8mb4_bin"}, {"name": "plain"}]
    answer, orders = target.brought(databases=wanted)
    assert (answer["changed"], answer["databases"]) == (True, {"100%": ["created"], "plain": ["created"]})
    assert orders == [
        "CREATE DATABASE `100%` CHARACTER SET `utf8mb4` COLLATE `utf8mb4_bin`",
        "CREATE DATABASE `plain`",
    ]
    assert answer["diff"]["before"]["database plain"] is None


def test_a_database_is_altered_where_it_differs_and_else_left_alone(target):
    target.schemas([{"name": n, "encoding": "utf8mb3", "collation": "utf8mb3_general_ci"} for n in ("a", "b")])
    answer, orders = target.brought(databases=[{"name": "a", "encoding": "UTF8"}, {"name": "b", "encoding": "utf8mb4"}])
    assert answer["databases"] == {"a": [], "b": ["encoding utf8mb3 -> utf8mb4"]}
    assert orders == ["ALTER DATABASE `b` CHARACTER SET `utf8mb4`"]
    assert answer["diff"]["after"] == {"database b": {"encoding": "utf8mb4", "collation": "utf8mb3_general_ci"}}


def test_databases_are_not_asked_for_where_none_is_wanted(target):
    assert target.bring()["changed"] is False
    assert not [statement for statement in target.server.told if "SCHEMATA" in statement]


# --- accounts -------------------------------------------------------------------------------------------------------

WANTED = {
    "name": "app", "host": "192.0.2.%", "password": PASSWORD, "require_tls": True, "max_user_connections": 9,
    "locked": True, "comment": "it's", "privileges": {"app.*": ["select", "INSERT"]},
}  # fmt: skip


def test_a_missing_account_is_created_with_everything(target):
    answer, (create, grant) = target.brought(WANTED)
    by = "VIA mysql_native_password USING PASSWORD" if target.mariadb else "WITH caching_sha2_password BY"
    secret = f"('{PASSWORD}')" if target.mariadb else f" '{PASSWORD}'"
    comment = "" if target.mariadb else r" COMMENT 'it\'s'"
    assert create == (
        f"CREATE USER 'app'@'192.0.2.%' IDENTIFIED {by}{secret} "
        f"REQUIRE SSL WITH MAX_USER_CONNECTIONS 9 ACCOUNT LOCK{comment}"
    )
    assert grant == "GRANT INSERT, SELECT ON `app`.* TO 'app'@'192.0.2.%'"
    assert answer["accounts"]["app@192.0.2.%"][0] == "created"
    assert answer["notes"] == (
        ["MariaDB has no comments on accounts; comment is ignored."] if target.mariadb else []
    )  # fmt: skip


def test_an_account_that_is_as_wanted_is_left_alone(target):
    target.add("app", "192.0.2.%", grants=["GRANT SELECT, INSERT ON `app`.* TO `app`@`192.0.2.%`"], ssl_type="ANY",
               max_user_connections=9, account_locked="Y",
               attributes='{"metadata": {"comment": "it\'s"}}')  # fmt: skip
    answer, orders = target.brought(WANTED)
    assert (answer["changed"], answer["accounts"], orders) == (False, {"app@192.0.2.%": []}, [])


def test_what_is_not_said_of_an_account_is_left_alone(target):
    target.add("app", grants=["GRANT ALL PRIVILEGES ON *.* TO `app`@`localhost`"], ssl_type="ANY",
               max_user_connections=3, account_locked="Y")  # fmt: skip
    answer, orders = target.brought({"name": "app"})
    assert (answer["changed"], orders) == (False, [])


@pytest.mark.parametrize(
    ("option", "value", "clause", "told"),
    [
        ("require_tls", True, "REQUIRE SSL", "TLS required"),
        ("max_user_connections", 4, "WITH MAX_USER_CONNECTIONS 4", "at most 4 connections"),
        ("locked", True, "ACCOUNT LOCK", "locked"),
    ],
)
def test_one_difference_is_one_clause_and_back_again(target, option, value, clause, told):
    target.add("app")
    answer, orders = target.brought({"name": "app", option: value})
    assert (answer["accounts"]["app@localhost"], orders) == ([told], [f"ALTER USER 'app'@'localhost' {clause}"])
    target.users.clear()
    target.add("app", ssl_type="ANY", max_user_connections=4, account_locked="Y")
    off = {"require_tls": "REQUIRE NONE", "max_user_connections": "WITH MAX_USER_CONNECTIONS 0",
           "locked": "ACCOUNT UNLOCK"}  # fmt: skip
    _answer, orders = target.brought({"name": "app", option: 0 if option == "max_user_connections" else False})
    assert orders == [f"ALTER USER 'app'@'localhost' {off[option]}"]


def test_only_another_password_is_set(target):
    target.add("app", password=OTHER)
    assert target.brought({"name": "app", "password": OTHER})[0]["changed"] is False
    answer, (alter,) = target.brought({"name": "app", "password": PASSWORD})
    assert answer["accounts"]["app@localhost"] == ["password"]
    assert (alter.startswith("ALTER USER 'app'@'localhost' IDENTIFIED "), PASSWORD in alter) == (True, True)


def test_a_password_is_needed_for_an_account_that_is_not_there(target):
    answer = target.bring({"name": "app"}, {"name": "other", "password": "x"})
    assert (answer["failed"], answer["msg"]) == (True, "A password is needed to create app@localhost.")
    assert target.orders == []


def test_a_comment_is_changed(mysql):
    mysql.add("app", attributes='{"metadata": {"comment": "old"}}')
    assert mysql.brought({"name": "app", "comment": "new"})[1] == ["ALTER USER 'app'@'localhost' COMMENT 'new'"]


def test_accounts_are_removed_once(target):
    target.add("old", "%")
    target.add("")
    wanted = [{"name": "old", "host": "%", "state": "absent"}, {"name": "gone", "state": "absent"}]
    answer, orders = target.brought(*wanted, remove_anonymous=True)
    assert orders == ["DROP USER ''@'localhost'", "DROP USER 'old'@'%'"]
    assert answer["accounts"] == {"@localhost": ["removed"], "old@%": ["removed"], "gone@localhost": []}
    assert answer["diff"]["after"]["account old@%"] is None


# --- socket ---------------------------------------------------------------------------------------------------------


def test_accounts_by_socket_need_their_plugin_once(mysql):
    answer, orders = mysql.brought({"name": "a", "auth": "socket"}, {"name": "b", "auth": "socket"})
    assert orders == [
        "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'",
        "CREATE USER 'a'@'localhost' IDENTIFIED WITH auth_socket",
        "CREATE USER 'b'@'localhost' IDENTIFIED WITH auth_socket",
    ]
    assert answer["accounts"]["a@localhost"] == ["created", "authentication by socket"]


def test_a_plugin_that_is_there_is_not_installed_again(mysql):
    mysql.server.on("information_schema.PLUGINS", [{"PLUGIN_STATUS": "ACTIVE"}])
    mysql.add("a", plugin="auth_socket")
    mysql.add("b")
    _answer, orders = mysql.brought({"name": "a", "auth": "socket"}, {"name": "b", "auth": "socket"})
    assert orders == ["ALTER USER 'b'@'localhost' IDENTIFIED WITH auth_socket"]


def test_mariadb_needs_no_plugin_for_that(mariadb_server):
    mariadb_server.add("a", plugin="unix_socket")
    mariadb_server.add("b")
    _answer, orders = mariadb_server.brought({"name": "a", "auth": "socket"}, {"name": "b", "auth": "socket"})
    assert orders == ["ALTER USER 'b'@'localhost' IDENTIFIED VIA unix_socket"]


# --- privileges -----------------------------------------------------------------------------------------------------


def privileges(target, have, want):
    """The orders that bring an account from these grants to those privileges."""
    target.add("a", grants=[f"GRANT {grant}" for grant in have])
    return target.brought({"name": "a", "privileges": want})


def test_privileges_become_exactly_the_wanted_ones(target):
    answer, orders = privileges(
        target, ["SELECT, DELETE ON `app`.* TO `a`@`localhost`", "SELECT ON `old`.* TO `a`@`localhost`"],
        {"app.*": ["SELECT", "INSERT"], "100%.*": ["SELECT (`a`)"]},
    )  # fmt: skip
    assert orders == [
        "REVOKE DELETE ON `app`.* FROM 'a'@'localhost'",
        "REVOKE SELECT ON `old`.* FROM 'a'@'localhost'",
        "GRANT SELECT (`a`) ON `100%`.* TO 'a'@'localhost'",
        "GRANT INSERT ON `app`.* TO 'a'@'localhost'",
    ]
    assert answer["diff"]["before"]["account a@localhost"]["privileges"]["`app`.*"] == ["DELETE", "SELECT"]


def test_an_empty_dictionary_revokes_everything(target):
    _answer, orders = privileges(target, ["ALL PRIVILEGES ON `a`.* TO `a`@`localhost` WITH GRANT OPTION"], {})
    assert orders == [
        "REVOKE ALL PRIVILEGES ON `a`.* FROM 'a'@'localhost'",
        "REVOKE GRANT OPTION ON `a`.* FROM 'a'@'localhost'",
    ]


def test_the_grant_option_alone_is_granted_with_no_privilege(target):
    _answer, orders = privileges(
        target, ["SELECT ON `a`.* TO `a`@`localhost`"], {"a.*": ["SELECT", "GRANT OPTION"]}
    )  # fmt: skip
    assert orders == ["GRANT USAGE ON `a`.* TO 'a'@'localhost' WITH GRANT OPTION"]


def test_dynamic_privileges_lose_the_grant_option_only_with_themselves(mysql):
    _answer, orders = privileges(
        mysql, ["SELECT, BACKUP_ADMIN ON *.* TO `a`@`localhost` WITH GRANT OPTION"], {"*.*": ["SELECT", "BACKUP_ADMIN"]}
    )  # fmt: skip
    assert orders == [
        "REVOKE BACKUP_ADMIN ON *.* FROM 'a'@'localhost'",
        "REVOKE GRANT OPTION ON *.* FROM 'a'@'localhost'",
        "GRANT BACKUP_ADMIN ON *.* TO 'a'@'localhost'",
    ]


def test_all_privileges_that_mysql_lists_one_by_one_are_all_privileges(mysql):
    mysql.server.on("SHOW PRIVILEGES", [{"Privilege": p} for p in ("Select", "Insert", "Usage", "Proxy")])
    mysql.add("full", grants=["GRANT SELECT, INSERT ON *.* TO `full`@`localhost`"])
    mysql.add("part", grants=["GRANT SELECT ON *.* TO `part`@`localhost`"])
    wanted = [{"name": name, "privileges": {"*.*": "ALL"}} for name in ("full", "part")]
    _answer, orders = mysql.brought(*wanted)
    assert orders == ["GRANT ALL PRIVILEGES ON *.* TO 'part'@'localhost'"]
    assert mysql.server.told.count("SHOW PRIVILEGES") == 2, "once in each of two runs"


def test_all_privileges_of_mariadb_are_told_as_such(mariadb_server):
    answer, orders = privileges(
        mariadb_server, ["ALL PRIVILEGES ON *.* TO `a`@`localhost`"], {"*.*": ["ALL PRIVILEGES"]}
    )  # fmt: skip
    assert (answer["changed"], orders) == (False, [])
    assert "SHOW PRIVILEGES" not in mariadb_server.server.told


# --- where it may be changed ----------------------------------------------------------------------------------------


def test_a_read_only_server_is_left_alone_and_what_would_change_is_named(target):
    target.variables.update(read_only="1", super_read_only="1")
    answer = target.bring({"name": "a", "password": PASSWORD}, databases=[{"name": "d"}])
    assert answer["failed"] is True
    assert "/s.sock is read-only" in answer["msg"]
    assert "these are to change: database d, account a@localhost." in answer["msg"]
    assert target.orders == []


def test_a_read_only_server_that_is_as_wanted_is_no_error(target):
    target.variables.update(read_only="1", super_read_only="1")
    target.add("a")
    assert target.bring({"name": "a", "password": PASSWORD})["changed"] is False


@pytest.mark.parametrize("fails", [False, True])
def test_the_fence_is_lifted_for_the_moment_only_and_nothing_is_logged(target, fails):
    target.variables.update(read_only="1", super_read_only="1")
    if fails:
        target.server.on("CREATE USER", error(1396, "Operation CREATE USER failed"))
    answer = target.bring({"name": "a", "password": PASSWORD}, binlog=False)
    assert bool(answer.get("failed")) is fails
    (create,) = target.server.told_to("CREATE USER")
    fence = [] if target.mariadb else ["SET GLOBAL super_read_only = OFF", "SET GLOBAL super_read_only = ON"]
    assert target.orders == ["SET SESSION sql_log_bin = 0", *fence[:1], create, *fence[1:]]


def test_a_server_that_is_no_replica_writes_its_log_as_always(target):
    target.bring({"name": "a", "password": PASSWORD})
    assert not target.server.told_to("SET ")


@pytest.mark.parametrize(
    ("errno", "hint"),
    [
        (1227, "The login needs CREATE USER"),
        (1044, "with GRANT OPTION"),
        (1819, "password policy"),
        (1290, "The server is read-only."),
        (4711, "failed: /s.sock: odd (4711)."),
    ],
)
def test_an_error_names_what_failed_but_not_the_statement(target, errno, hint):
    target.server.on("CREATE USER", error(errno, "odd"))
    answer = target.bring({"name": "a", "password": PASSWORD})
    assert answer["failed"] is True
    assert answer["msg"].startswith("CREATE USER for account a@localhost failed: ")
    assert hint in answer["msg"]


def test_a_server_that_cannot_be_reached_is_told_by_its_address(network, run_module):
    answer = run_module(module, login_user="root", login_host="db9")
    assert (answer["failed"], "db9:3306 cannot be reached" in answer["msg"]) == (True, True)


def test_bad_input_is_refused_before_any_server_is_asked(target):
    answer = target.bring({"name": "a", "password": ""}, {"name": "b", "privileges": {"nodot": ["SELECT"]}})
    assert ("empty password" in answer["msg"], "not a target" in answer["msg"]) == (True, True)
    assert target.server.opened == []
