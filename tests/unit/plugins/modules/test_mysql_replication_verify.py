from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.pentad.webstack.plugins.modules import mysql_replication_verify as module


def complaints(**options):
    checked = ArgumentSpecValidator(module._spec()).validate(options)
    assert not checked.error_messages, checked.error_messages
    return module.complaints(checked.validated_parameters)


def test_nothing_to_complain_about():
    assert complaints() == []
    assert complaints(primary_host="db1", probe=True, heartbeat_table="a.b", compare=["a"], wait_for="caught_up") == []


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"checks": {"io_thread": "loud"}}, "severity is one of"),
        ({"checks": {"io_thraed": "skip"}}, "there is no rule io_thraed"),
        ({"probe": True}, "probe needs heartbeat_table"),
        ({"probe": True, "heartbeat_table": "a.b"}, "probe needs heartbeat_table"),
        ({"heartbeat_table": "nodot"}, "schema.table"),
        ({"compare": ["a"]}, "compare needs"),
        ({"wait_for": "caught_up"}, "needs a target"),
        ({"wait_for": "caught_up", "wait_target": "rubbish"}, "neither a MySQL GTID set nor"),
        ({"primary_gtid": "x"}, "neither a MySQL GTID set nor"),
        ({"role": "primary", "primary_host": "db1"}, "a primary follows nobody"),
        ({"max_lag": -1, "warn_lag": -2}, "max_lag must not be negative"),
        ({"poll_interval": 0}, "poll_interval must be greater than 0"),
        ({"read_timeout": 0}, "read_timeout must be greater than 0"),
        ({"warn_lag": 40}, "warn_lag (40) must not be greater"),
        ({"expected_primary": "db1"}, "expected_primary needs servers"),
        ({"servers": [{"host": "a"}], "expected_primary": "b"}, "is not in servers"),
        ({"servers": [{"host": "a"}, {"host": "a"}]}, "listed twice"),
        ({"servers": [{"host": "a"}], "wait_for": "healthy"}, "servers does not go with wait_for"),
    ],
)
def test_options_that_make_no_sense(options, word):
    assert word in "; ".join(complaints(**options))


def test_all_complaints_at_once():
    assert len(complaints(max_lag=-1, warn_lag=0, poll_interval=0, heartbeat_table="x")) >= 4


def test_primary_inherits_what_is_not_given_for_it():
    params = (
        ArgumentSpecValidator(module._spec())
        .validate(
            {"login_user": "u", "login_password": "p", "ca_cert": "/c", "primary_host": "db1", "primary_password": ""}
        )
        .validated_parameters
    )
    local = module.ConnectionOptions.from_params(params)
    found = module.primary_options(params, local)
    assert (found.host, found.user, found.password, found.ca_cert, found.unix_socket) == ("db1", "u", "", "/c", None)
    assert module.primary_options({**params, "primary_host": None}, local) is None
