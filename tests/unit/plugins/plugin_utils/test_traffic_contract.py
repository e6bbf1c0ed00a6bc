# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables about requests: what is wrong is told with its fix, and what is right passes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.plugin_utils.traffic_contract import check_traffic, is_host
from inputs import stack


def told(host: str = "lb1", **changes: Any) -> list[str]:
    """What is said of a stack with these variables on one host."""
    return list(check_traffic(stack({host: changes})))


def test_the_defaults_are_right():
    assert told() == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "www.example.com", "WWW.Example.com", "2001:db8::1", "[2001:db8::1]", "my_host.example"],
)
def test_a_name_and_an_address_can_be_added(host):
    assert is_host(host)
    assert told(haproxy_additional_hosts=[host]) == []


@pytest.mark.parametrize(
    ("host", "fix"),
    [
        ("127.0.0.1:8443", "write 127.0.0.1, whatever port clients name is taken"),
        ("[2001:db8::1]:443", "write [2001:db8::1], whatever"),
        ("https://www.example.com", "name hosts as in www.example.com"),
        ("www.example.com/", "name hosts as in"),
        ("*.example.com", "name hosts as in"),
        ("two names", "name hosts as in"),
        ("256.1.1.1", "name hosts as in"),
        ("", "name hosts as in"),
    ],
)
def test_a_host_that_is_none_is_told_with_the_fix(host, fix):
    (problem,) = told(haproxy_additional_hosts=[host])
    assert problem.startswith(
        f"lb1: haproxy_additional_hosts has '{host}', which is no host name and no address: {fix}"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("webstack_app_workers", 8), ("webstack_app_threads", 16), ("webstack_app_runtime", "php")],
)
def test_balancers_have_to_know_how_much_the_nodes_can_do(name, value):
    (problem,) = told("web2", **{name: value})
    assert problem.startswith(f"lb1: {name} = ")
    assert f", but web2 has {value!r}, so haproxy_server_maxconn would not fit it: " in problem
    both = stack({"lb1": {"haproxy_server_maxconn": 100}, "web2": {name: value}})
    assert list(check_traffic(both)) == []


@pytest.mark.parametrize("path", ["/", "/events", "/api/v1/stream/", "/a-b_c.d~"])
def test_a_path_can_be_one_of_streams(path):
    assert told(webstack_stream_paths=[path]) == []


@pytest.mark.parametrize("path", ["events", "", "/a b", "/a{", '/a"', "/a;", "/a\\", "/a#", "/%61"])
def test_a_path_that_would_break_the_files_is_refused(path):
    for host in ("lb1", "web2"):
        (problem,) = told(host, webstack_stream_paths=[path])
        assert problem.startswith(
            f"{host}: webstack_stream_paths has '{path}', which is not the beginning of a path: begin it"
        )


def test_a_header_that_is_removed_is_one_that_may_be():
    assert told(webstack_removed_headers=["X-Real-IP"]) == []
    (wrong,) = told(webstack_removed_headers=["X Real"])
    assert "webstack_removed_headers has 'X Real', which is no name of a header field" in wrong
    (needed,) = told(webstack_removed_headers=["Host"])
    assert "webstack_removed_headers has 'Host', without which no request arrives: take it from the list." in needed
