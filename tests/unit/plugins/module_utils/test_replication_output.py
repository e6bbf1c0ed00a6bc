# SPDX-License-Identifier: GPL-3.0-or-later
"""A verdict reads well for people, and Prometheus gets every number that it has and none that it has not."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import DatabaseError
from ansible_collections.pentad.webstack.plugins.module_utils.replication import output
from ansible_collections.pentad.webstack.plugins.module_utils.replication import verdict as rules
from ansible_collections.pentad.webstack.plugins.module_utils.replication.context import (
    DEFAULT_POLICY,
    Context,
    policy_from,
)
from ansible_collections.pentad.webstack.plugins.module_utils.replication.model import build
from ansible_collections.pentad.webstack.plugins.module_utils.replication.verdict import unreachable
from scripted_mysql import recorded

ENGINES = ["mysql97", "mariadb118", "mariadb1011"]


def judged(engine: str = "mysql97", **status: Any) -> dict[str, Any]:
    """The verdict on a recorded replica beside its primary, with these columns of its channel changed."""
    rows = recorded(engine)
    rows["replica"]["replica_status"][0].update(status)
    policy = {**DEFAULT_POLICY, "role": "replica"}
    context = Context(build(rows["replica"], "db2"), policy, primary=build(rows["primary"], "db1"))
    return rules.report(context, rules.judge(context))


def samples(result: dict[str, Any]) -> dict[str, float]:
    """The samples of the text for Prometheus by their series."""
    lines = [line for line in output.prometheus(result, 1795219200.25).splitlines() if not line.startswith("#")]
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_table_begins_with_the_verdict_and_lists_every_rule(engine):
    result = judged(engine)
    text = output.table(result)
    assert text.startswith(f"{result['verdict'].upper()}  {result['engine']['flavor']} ")
    assert all(check["id"] in text for check in result["checks"])
    assert "follows " in text.splitlines()[1]
    assert max(map(len, text.splitlines())) <= 110


def test_what_is_wrong_comes_first_with_what_to_do():
    result = judged(
        Replica_SQL_Running="No", Last_SQL_Errno=1062, Last_SQL_Error="Duplicate entry '7' for key 'PRIMARY'"
    )
    lines = output.table(result).splitlines()
    body = lines[lines.index("") + 1 :]
    failed = [check for check in result["checks"] if check["status"] == "fail"]
    assert body[0].startswith("FAIL    ")
    assert "critical" in lines[0].lower()
    assert "lag not known" in lines[1]
    for check in failed:
        assert check["hint"].split()[0] in " ".join(line for line in body if "-> " in line)
    starts = [line.split()[0] for line in body if line[:1].isalpha()]
    assert starts == sorted(starts, key=["FAIL", "UNKNOWN", "WARN", "INFO", "PASS"].index)


def test_hints_of_what_is_right_are_not_shown():
    result = judged()
    for check in result["checks"]:
        check["hint"] = "do not do this"
    quiet = {**result, "checks": [check for check in result["checks"] if check["status"] == "pass"]}
    assert "do not do this" not in output.table(quiet)


def test_a_server_that_cannot_be_asked_is_told_all_the_same():
    gone = unreachable("db2", DatabaseError("db2 cannot be reached.", 2003, "Start it."), policy_from({}))
    text = output.table(gone)
    assert text.splitlines()[0] == "CRITICAL  server  role not known"
    assert "connect" in text
    assert "-> Start it." in text
    assert samples(gone)['mysql_replication_verdict{verdict="critical"}'] == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_prometheus_gets_exactly_one_verdict_and_a_sample_for_each_rule(engine):
    result = judged(engine)
    found = samples(result)
    verdicts = {series: value for series, value in found.items() if series.startswith("mysql_replication_verdict{")}
    assert sorted(verdicts.values()) == [0, 0, 0, 1]
    assert verdicts[f'mysql_replication_verdict{{verdict="{result["verdict"]}"}}'] == 1
    told = {series.split('"')[1] for series in found if series.startswith("mysql_replication_check{")}
    assert told == {check["id"] for check in result["checks"] if check["status"] != "info"}
    assert found["mysql_replication_verdict_timestamp_seconds"] == 1795219200.25
    assert found["mysql_replication_promotable"] == int(result["promotion"]["promotable"])
    assert found['mysql_replication_lag_seconds{channel=""}'] == result["channels"][0]["lag"]["seconds"]


def test_what_is_not_known_is_absent_and_no_zero():
    found = samples(judged(Replica_SQL_Running="No", Seconds_Behind_Source=None))
    assert not [series for series in found if "lag_seconds" in series]
    result = judged()
    result["gtid"] = None
    assert not [series for series in samples(result) if "_transactions" in series and "check" not in series]


def test_of_several_findings_of_a_rule_the_worst_counts():
    result = judged()
    one = next(check for check in result["checks"] if check["status"] == "pass")
    result["checks"] += [{**one, "status": "fail"}, one]
    series = f'mysql_replication_check{{rule="{one["id"]}",channel="",severity="{one["severity"]}"}}'
    assert samples(result)[series] == 2


def test_names_are_quoted():
    result = judged()
    result["channels"][0]["name"] = 'a"b\\c\nd'
    assert 'channel="a\\"b\\\\c\\nd"' in output.prometheus(result, 0)


def test_every_family_says_what_it_is():
    text = output.prometheus(judged(), 0)
    families = {line.split("{")[0].split()[0] for line in text.splitlines() if not line.startswith("#")}
    assert families
    for family in families:
        assert f"# TYPE {family} gauge" in text
        assert f"# HELP {family} " in text
