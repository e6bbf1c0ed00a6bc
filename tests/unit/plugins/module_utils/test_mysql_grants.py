from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.grants import (
    EVERYTHING,
    GrantError,
    Privilege,
    changes,
    clause,
    parse_privilege,
    parse_show_grants,
    parse_target,
    parse_wanted,
    target_sql,
)

P = Privilege


@pytest.mark.parametrize(
    ("text", "target", "sql"),
    [
        ("*.*", ("*", "*"), "*.*"),
        ("app.*", ("app", "*"), "`app`.*"),
        ("`we``ird%db`.`t`", ("we`ird%db", "t"), "`we``ird%db`.`t`"),
        ("app.orders", ("app", "orders"), "`app`.`orders`"),
    ],
)
def test_targets(text, target, sql):
    assert parse_target(text) == target
    assert target_sql(target) == sql


@pytest.mark.parametrize("text", ["app", "*.t", "a.b.c", "", "a;drop.*", "`a.*"])
def test_bad_targets(text):
    if text == "a;drop.*":
        assert target_sql(parse_target(text)) == "`a;drop`.*", "whatever it is, it is quoted"
        return
    with pytest.raises(GrantError):
        parse_target(text)


@pytest.mark.parametrize("text", ["SELECT; DROP", "SELECT ON *.* TO x", "select(a", "", "(a)", "A'B"])
def test_bad_privileges(text):
    with pytest.raises(GrantError):
        parse_privilege(text, False) if "ON" not in text else parse_privilege("SELECT ON *.* TO x", False)


def test_columns_and_case():
    found = parse_privilege("select (`a`, b)", False)
    assert found == P("SELECT", frozenset({"a", "b"}))
    assert found.sql() == "SELECT (`a`, `b`)"


def test_synonyms_of_mariadb():
    assert parse_privilege("replication client", True).name == "BINLOG MONITOR"
    assert parse_privilege("replication client", False).name == "REPLICATION CLIENT"
    assert parse_privilege("ALL", False).name == "ALL PRIVILEGES"


SHOWN = [
    "GRANT PROCESS, REPLICATION CLIENT ON *.* TO `x`@`%` WITH GRANT OPTION",
    "GRANT BACKUP_ADMIN,CLONE_ADMIN ON *.* TO `x`@`%`",
    "GRANT SELECT ON `we``ird%db`.* TO `x`@`%`",
    "GRANT SELECT (`a`), UPDATE (`a`, `b`) ON `app`.`t` TO `x`@`%`",
    "GRANT PROXY ON ``@`` TO `x`@`%` WITH GRANT OPTION",
    "GRANT `role`@`%` TO `x`@`%`",
]


def test_show_grants():
    assert parse_show_grants(SHOWN, False) == {
        EVERYTHING: {P("PROCESS"), P("REPLICATION CLIENT"), P("GRANT OPTION"), P("BACKUP_ADMIN"), P("CLONE_ADMIN")},
        ("we`ird%db", "*"): {P("SELECT")},
        ("app", "t"): {P("SELECT", frozenset({"a"})), P("UPDATE", frozenset({"a", "b"}))},
    }


def test_show_grants_of_mariadb_with_its_password():
    line = "GRANT USAGE ON *.* TO `x`@`%` IDENTIFIED BY PASSWORD '*03A8' REQUIRE SSL WITH MAX_USER_CONNECTIONS 9"
    assert parse_show_grants([line], True) == {}


def test_changes_are_exactly_the_difference():
    have = parse_show_grants(SHOWN[:3], False)
    want = parse_wanted({"*.*": ["PROCESS, SHUTDOWN"], "app.*": "SELECT"}, False)
    grant, revoke = changes(have, want)
    assert grant == {EVERYTHING: {P("SHUTDOWN")}, ("app", "*"): {P("SELECT")}}
    assert revoke == {
        EVERYTHING: {P("REPLICATION CLIENT"), P("GRANT OPTION"), P("BACKUP_ADMIN"), P("CLONE_ADMIN")},
        ("we`ird%db", "*"): {P("SELECT")},
    }
    assert changes(want, want) == ({}, {})


def test_all_privileges_on_everything_is_a_long_list_on_mysql():
    every = ["SELECT", "INSERT", "BACKUP_ADMIN"]
    want = parse_wanted({"*.*": ["ALL", "GRANT OPTION"]}, False)
    full = {EVERYTHING: {P(n) for n in [*every, "GRANT OPTION"]}}
    assert changes(full, want, every) == ({}, {})
    less = {EVERYTHING: {P("SELECT"), P("GRANT OPTION")}}
    assert changes(less, want, every) == ({EVERYTHING: {P("ALL PRIVILEGES")}}, {})
    without_option = parse_wanted({"*.*": ["ALL"]}, False)
    assert changes(full, without_option, every) == ({}, {EVERYTHING: {P("GRANT OPTION")}})


def test_all_privileges_on_a_database():
    want = parse_wanted({"app.*": ["ALL PRIVILEGES"]}, False)
    assert changes({("app", "*"): {P("ALL PRIVILEGES")}}, want) == ({}, {})
    assert changes({("app", "*"): {P("SELECT")}}, want)[0] == {("app", "*"): {P("ALL PRIVILEGES")}}


def test_clause():
    assert clause({P("SELECT"), P("GRANT OPTION"), P("INSERT")}) == ("INSERT, SELECT", True)
    assert clause({P("GRANT OPTION")}) == ("", True)


def test_usage_is_no_privilege():
    assert parse_wanted({"*.*": ["USAGE"], "app.*": []}, False) == {}
