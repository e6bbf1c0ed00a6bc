from __future__ import annotations

import json

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.pentad.webstack.plugins.module_utils.mysql_credentials import native_hash
from ansible_collections.pentad.webstack.plugins.modules import mysql_accounts as module


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
