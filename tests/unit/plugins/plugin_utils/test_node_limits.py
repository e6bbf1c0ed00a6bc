# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node allows is asked of it, and what is wanted beyond that is refused before anything starts."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.modules import host_survey
from ansible_collections.pentad.webstack.plugins.plugin_utils.inventory_contract import Stack
from ansible_collections.pentad.webstack.plugins.plugin_utils.node_limits import check_open_files, connections_within


@pytest.mark.parametrize(
    ("wanted", "open_files", "expected"), [(20000, 1048576, 20000), (20000, 20000, 9900), (500, 20000, 500), (9, 4, 1)]
)
def test_as_many_connections_as_fit(wanted, open_files, expected):
    assert connections_within(wanted, open_files) == expected


def stack(**variables) -> Stack:
    """A balancer and a web node with the same variables."""
    groups = {"all": ["lb1", "web1", "db1"], "haproxy": ["lb1"], "web": ["web1"]}
    return Stack(groups=groups, variables=dict.fromkeys(groups["all"], variables), given={})


def test_a_wish_beyond_the_limit_is_refused_on_every_node_with_haproxy():
    found = list(check_open_files(stack(haproxy_maxconn=20000, __webstack_survey={"open_files": 20000})))
    assert found == [
        f"{host}: haproxy_maxconn = 20000 needs 40200 open files and a service of this node may have 20000: set it to "
        "9900 or less, or leave it out, or raise that limit."
        for host in ("lb1", "web1")
    ]


@pytest.mark.parametrize(
    "variables",
    [
        {"haproxy_maxconn": 9900, "__webstack_survey": {"open_files": 20000}},
        {"haproxy_maxconn": 20000, "__webstack_survey": {"open_files": 1048576}},
        {"haproxy_maxconn": 20000, "__webstack_survey": {"unreachable": True}},
        {"haproxy_maxconn": "many", "__webstack_survey": {"open_files": 20000}},
    ],
)
def test_what_fits_or_is_not_known_is_left_alone(variables):
    assert list(check_open_files(stack(**variables))) == []


@pytest.mark.parametrize(
    ("capabilities", "limits", "expected"),
    [
        ("000001ffffffffff", "Max open files            1024                 4096                 files", 1048576),
        ("00000000a8ac35fb", "Max open files            1024                 4096                 files", 4096),
        ("00000000a8ac35fb", "Max open files            unlimited            unlimited            files", 1048576),
    ],
)
def test_the_node_tells_how_many_files_a_service_may_open(tmp_path, monkeypatch, capabilities, limits, expected):
    (tmp_path / "1").mkdir()
    (tmp_path / "sys" / "fs").mkdir(parents=True)
    (tmp_path / "1" / "status").write_text(f"Name:\tsystemd\nCapBnd:\t{capabilities}\n")
    (tmp_path / "1" / "limits").write_text(f"Limit   Soft Limit   Hard Limit   Units\n{limits}\n")
    (tmp_path / "sys" / "fs" / "nr_open").write_text("1048576\n")
    monkeypatch.setattr(host_survey, "PROC", tmp_path)
    assert host_survey.open_files(None) == expected
