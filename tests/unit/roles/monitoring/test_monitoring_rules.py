# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault fires its alerts and no other, and a healthy installation fires the Watchdog alone."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml
from monitoring_series import (
    INTERVAL,
    MARIADB,
    MYSQL,
    RULES,
    STEPS,
    TOP,
    Alert,
    Expect,
    Promtool,
    Series,
    after,
    always,
    gone,
    haproxy_backend,
    healthy,
    rising,
    status,
    verdict,
)

WATCHDOG: Alert = ("Watchdog", "")
ENGINES = [pytest.param(MYSQL, id="mysql"), pytest.param(MARIADB, id="mariadb")]


def of(metric: str, instance: str, job: str, more: str = "") -> str:
    """A series of the healthy installation."""
    return f'{metric}{{instance="{instance}", job="{job}"{more}}}'


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.stem)
def test_the_rules_are_valid(promtool: Promtool, rules: Path) -> None:
    result = promtool("check", "rules", rules)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.stem)
def test_every_alert_says_how_bad_it_is_where_and_what_to_do(rules: Path) -> None:
    without_host = {"Watchdog", "MySQLNoWriter", "VirtualAddressNotHeld", "VirtualAddressHeldTwice"}
    for group in yaml.safe_load(rules.read_text())["groups"]:
        for rule in group["rules"]:
            if "alert" not in rule:
                continue
            name, annotations = rule["alert"], rule["annotations"]
            assert rule["labels"]["severity"] in {"critical", "warning", "none"}, name
            assert ("$labels.instance" in annotations["summary"]) == (name not in without_host), name
            assert len(annotations["description"]) > 30, name


@pytest.mark.parametrize("engine", ENGINES)
def test_a_healthy_installation_is_silent(expect: Expect, engine: dict[str, str]) -> None:
    expect(healthy(engine), "1m 2m 5m 10m", {WATCHDOG})


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """Whether an alert with these labels is meant, in the syntax of Alertmanager."""
    for matcher in matchers:
        name, how, value = re.fullmatch(r'(\w+) (=|!=) "(.*)"', matcher).groups()
        if (labels[name] == value) != (how == "="):
            return False
    return True


def test_every_inhibition_has_alerts_on_both_sides() -> None:
    groups = [group for rules in RULES for group in yaml.safe_load(rules.read_text())["groups"]]
    alerts = [
        {"alertname": rule["alert"], "severity": rule["labels"]["severity"]}
        for group in groups
        for rule in group["rules"]
        if "alert" in rule
    ]
    defaults = yaml.safe_load((TOP / "roles/monitoring/defaults/main.yml").read_text())
    for inhibition in defaults["monitoring_alertmanager_inhibit_rules"]:
        equal = [label for label in inhibition["equal"] if label in alerts[0]]
        assert any(
            matches(inhibition["source_matchers"], source)
            and matches(inhibition["target_matchers"], target)
            and all(source[label] == target[label] for label in equal)
            for source, target in itertools.permutations(alerts, 2)
        ), inhibition


# Replication, in the names of both engines


@pytest.mark.parametrize("engine", ENGINES)
def test_a_receiver_that_stopped(expect: Expect, engine: dict[str, str]) -> None:
    # Lag still reads 0 when the receiver has used up its attempts.
    series = healthy(engine) | {status(engine["io"]): after(1, 0)}
    expect(series, "1m", {WATCHDOG})
    expect(series, "3m", {WATCHDOG, ("MySQLReplicaReceiverStopped", "db2")})


@pytest.mark.parametrize("engine", ENGINES)
def test_an_applier_that_stopped_and_says_no_lag(expect: Expect, engine: dict[str, str]) -> None:
    series = healthy(engine) | {status(engine["sql"]): after(1, 0), status(engine["lag"]): gone(0)}
    expect(series, "3m", {WATCHDOG, ("MySQLReplicaApplierStopped", "db2")})


@pytest.mark.parametrize("engine", ENGINES)
def test_both_threads_stopped(expect: Expect, engine: dict[str, str]) -> None:
    series = healthy(engine) | {
        status(engine["io"]): after(1, 0),
        status(engine["sql"]): after(1, 0),
        status(engine["lag"]): gone(0),
    }
    expected = {WATCHDOG, ("MySQLReplicaReceiverStopped", "db2"), ("MySQLReplicaApplierStopped", "db2")}
    expect(series, "3m", expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_replica_that_lags(expect: Expect, engine: dict[str, str]) -> None:
    series = healthy(engine) | {status(engine["lag"]): rising(15)}
    expect(series, "30s", {WATCHDOG})
    expect(series, "5m", {WATCHDOG, ("MySQLReplicaLagging", "db2")})


@pytest.mark.parametrize("engine", ENGINES)
def test_the_delay_that_was_asked_for_is_no_lag(expect: Expect, engine: dict[str, str]) -> None:
    series = healthy(engine) | {status(engine["lag"]): always(3600), status("sql_delay"): always(3600)}
    expect(series, "10m", {WATCHDOG})


@pytest.mark.parametrize("engine", ENGINES)
def test_lag_is_judged_without_the_column_of_the_delay(expect: Expect, engine: dict[str, str]) -> None:
    series = healthy(engine) | {status(engine["lag"]): always(100)}
    del series[status("sql_delay")]
    expect(series, "5m", {WATCHDOG, ("MySQLReplicaLagging", "db2")})


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_that_run_and_report_no_lag(expect: Expect, engine: dict[str, str]) -> None:
    series = healthy(engine) | {status(engine["lag"]): gone(0)}
    expect(series, "5m", {WATCHDOG, ("MySQLReplicaLagUnknown", "db2")})


@pytest.mark.parametrize("engine", ENGINES)
def test_a_replica_that_follows_nobody(expect: Expect, engine: dict[str, str]) -> None:
    series = {name: values for name, values in healthy(engine).items() if "mysql_slave_status" not in name}
    expect(series, "1m", {WATCHDOG})
    expect(series, "5m", {WATCHDOG, ("MySQLReplicationMissing", "db2")})


@pytest.mark.parametrize("engine", ENGINES)
def test_two_writers_are_both_named(expect: Expect, engine: dict[str, str]) -> None:
    series = healthy(engine) | {of("mysql_global_variables_read_only", "db2", "mysql"): after(1, 0)}
    expect(series, "3m", {WATCHDOG, ("MySQLMultipleWriters", "db1"), ("MySQLMultipleWriters", "db2")})


@pytest.mark.parametrize("engine", ENGINES)
def test_a_switchover_between_two_scrapes_is_not_two_writers(expect: Expect, engine: dict[str, str]) -> None:
    series = healthy(engine) | {
        of("mysql_global_variables_read_only", "db1", "mysql"): after(0, 1, 5),
        of("mysql_global_variables_read_only", "db2", "mysql"): after(1, 0, 4),
    }
    series |= {name.replace("db2", "db1"): values for name, values in series.items() if "mysql_slave_status" in name}
    expect(series, "1m 1m15s 1m30s 1m45s 2m", {WATCHDOG})


@pytest.mark.parametrize("engine", ENGINES)
def test_no_writer(expect: Expect, engine: dict[str, str]) -> None:
    # A primary that came back from a crash, read-only: it follows nobody either.
    series = healthy(engine) | {of("mysql_global_variables_read_only", "db1", "mysql"): after(0, 1)}
    expect(series, "2m", {WATCHDOG, ("MySQLNoWriter", "")})
    expect(series, "5m", {WATCHDOG, ("MySQLNoWriter", ""), ("MySQLReplicationMissing", "db1")})


@pytest.mark.parametrize("engine", ENGINES)
def test_a_primary_that_does_not_answer(expect: Expect, engine: dict[str, str]) -> None:
    kept = {"up", "mysql_up"}
    series = healthy(engine)
    for name in series:
        if 'instance="db1", job="mysql"' in name and name.split("{")[0] not in kept:
            series[name] = gone(float(series[name].split("x")[0]))
    series |= {of("mysql_up", "db1", "mysql"): after(1, 0), status(engine["io"]): after(1, 0)}
    expected = {WATCHDOG, ("MySQLDown", "db1"), ("MySQLNoWriter", ""), ("MySQLReplicaReceiverStopped", "db2")}
    expect(series, "5m", expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_semi_synchronous_replication_that_gave_up(expect: Expect, engine: dict[str, str]) -> None:
    metric = f"mysql_global_status_rpl_semi_sync_{engine['semi_sync']}_status"
    series = healthy(engine) | {of(metric, "db1", "mysql"): after(1, 0)}
    expect(series, "5m", {WATCHDOG, ("MySQLSemiSyncDegraded", "db1")})


@pytest.mark.parametrize("engine", ENGINES)
def test_semi_synchronous_replication_that_is_switched_off(expect: Expect, engine: dict[str, str]) -> None:
    prefix = f"rpl_semi_sync_{engine['semi_sync']}"
    series = healthy(engine) | {
        of(f"mysql_global_status_{prefix}_status", "db1", "mysql"): always(0),
        of(f"mysql_global_variables_{prefix}_enabled", "db1", "mysql"): always(0),
    }
    expect(series, "5m", {WATCHDOG})


@pytest.mark.parametrize("engine", ENGINES)
def test_transactions_that_no_replica_acknowledged_are_told(expect: Expect, engine: dict[str, str]) -> None:
    metric = of(f"mysql_global_status_rpl_semi_sync_{engine['semi_sync']}_no_tx", "db1", "mysql")
    series = healthy(engine) | {metric: after(3, 40)}
    expect(series, "2m", {WATCHDOG, ("MySQLSemiSyncUnconfirmed", "db1")})
    off = of(f"mysql_global_variables_rpl_semi_sync_{engine['semi_sync']}_enabled", "db1", "mysql")
    expect(series | {off: always(0)}, "2m", {WATCHDOG})


@pytest.mark.parametrize("engine", ENGINES)
def test_writes_that_wait_for_a_replica_are_told(expect: Expect, engine: dict[str, str]) -> None:
    """The status stays as it is while they wait."""
    metric = of(f"mysql_global_status_rpl_semi_sync_{engine['semi_sync']}_clients", "db1", "mysql")
    series = healthy(engine) | {metric: after(1, 0)}
    expect(series, "2m", {WATCHDOG, ("MySQLSemiSyncTooFewReplicas", "db1")})
    off = of(f"mysql_global_variables_rpl_semi_sync_{engine['semi_sync']}_enabled", "db1", "mysql")
    expect(series | {off: always(0)}, "2m", {WATCHDOG})


def test_more_replicas_may_have_to_acknowledge(expect: Expect) -> None:
    wanted = of("mysql_global_variables_rpl_semi_sync_source_wait_for_replica_count", "db1", "mysql")
    expect(healthy(MYSQL) | {wanted: always(2)}, "2m", {WATCHDOG, ("MySQLSemiSyncTooFewReplicas", "db1")})


def test_the_channels_of_group_replication_are_no_replicas(expect: Expect) -> None:
    channel = "group_replication_recovery"
    series = {name: values for name, values in healthy(MYSQL).items() if "mysql_slave_status" not in name}
    series |= {status(MYSQL["io"], channel=channel): always(0), status(MYSQL["sql"], channel=channel): always(0)}
    series |= {
        of("mysql_perf_schema_replication_group_member_info", host, "mysql", ', member_state="ONLINE"'): always(1)
        for host in ("db1", "db2")
    }
    expect(series, "5m", {WATCHDOG})


@pytest.mark.parametrize("holds", ["critical", "unknown"])
def test_a_verdict_that_is_not_good_is_told(expect: Expect, holds: str) -> None:
    series = healthy(MYSQL) | verdict("db2", holds, rising(INTERVAL))
    expect(series, "1m", {WATCHDOG})
    expect(series, "3m", {WATCHDOG, ("MySQLReplicationWrong", "db2")})


def test_a_verdict_with_a_warning_is_told_when_it_stays(expect: Expect) -> None:
    series = healthy(MYSQL) | verdict("db2", "warning", rising(INTERVAL))
    expect(series, "3m", {WATCHDOG})
    expect(series, "8m", {WATCHDOG, ("MySQLReplicationDoubtful", "db2")})


def test_a_verdict_that_is_no_longer_given_is_told(expect: Expect) -> None:
    expect(healthy(MYSQL) | verdict("db1", "ok", always(0)), "7m", {WATCHDOG, ("MySQLVerdictStale", "db1")})


def test_connections_of_the_database_run_out(expect: Expect) -> None:
    series = healthy(MYSQL) | {of("mysql_global_status_threads_connected", "db1", "mysql"): after(20, 450)}
    expect(series, "5m", {WATCHDOG, ("MySQLConnectionsNearLimit", "db1")})


def test_an_exporter_without_privileges(expect: Expect) -> None:
    collector = ', collector="collect.slave_status"'
    series = healthy(MYSQL) | {of("mysql_exporter_collector_success", "db2", "mysql", collector): after(1, 0)}
    expect(series, "5m", {WATCHDOG, ("MySQLMetricsIncomplete", "db2")})


# Machines


def down(series: Series, host: str) -> Series:
    """The same with a machine that has vanished."""
    changed = dict(series)
    for name, values in series.items():
        if f'instance="{host}"' in name:
            first = float(values.replace("+", "x").split("x")[0])
            changed[name] = after(1, 0) if name.startswith("up{") else gone(first)
    return changed


def test_a_web_node_is_down(expect: Expect) -> None:
    series = down(healthy(MYSQL), "web2")
    server = ', proxy="site", server="web2"'
    series |= {
        of("haproxy_server_status", "lb1", "haproxy", server + ', state="UP"'): after(1, 0),
        of("haproxy_server_status", "lb1", "haproxy", server + ', state="DOWN"'): after(0, 1),
        of("haproxy_server_check_up_down_total", "lb1", "haproxy", server): after(0, 1),
    }
    expect(series, "5m", {WATCHDOG, ("NodeDown", "web2"), ("HAProxyServerDown", "lb1")})


def test_the_primary_node_is_down(expect: Expect) -> None:
    series = down(healthy(MYSQL), "db1") | {status(MYSQL["io"]): after(1, 0)}
    expected = {WATCHDOG, ("NodeDown", "db1"), ("MySQLNoWriter", ""), ("MySQLReplicaReceiverStopped", "db2")}
    expect(series, "5m", expected)


@pytest.mark.parametrize(
    ("instance", "job", "alert"),
    [
        ("db1", "node", "TargetDown"),
        ("web1", "nginx", "TargetDown"),
        ("lb1", "haproxy", "HAProxyDown"),
        ("web1", "haproxy", "HAProxyDown"),
        ("lb1", "alertmanager", "TargetDown"),
    ],
)
def test_one_exporter_of_a_node_is_down(expect: Expect, instance: str, job: str, alert: str) -> None:
    series = healthy(MYSQL) | {of("up", instance, job): after(1, 0)}
    expect(series, "1m", {WATCHDOG})
    expect(series, "3m", {WATCHDOG, (alert, instance)})


def test_a_target_that_is_no_node(expect: Expect) -> None:
    series = healthy(MYSQL) | {of("up", "https://www.example.com", "probe"): after(1, 0)}
    expect(series, "3m", {WATCHDOG, ("TargetDown", "https://www.example.com")})


def test_an_alertmanager_that_restarts(expect: Expect) -> None:
    errors = of("prometheus_notifications_errors_total", "lb1", "prometheus", ', alertmanager="http://lb1:9093"')
    expect(healthy(MYSQL) | {errors: after(0, 2)}, "1m30s 2m30s 5m", {WATCHDOG})


DISK = ', device="/dev/vda1", fstype="ext4", mountpoint="/"'


def test_a_filesystem_is_almost_full(expect: Expect) -> None:
    available = of("node_filesystem_avail_bytes", "db1", "node", DISK)
    expect(healthy(MYSQL) | {available: f"7e9x{4 * 15}"}, "14m", {WATCHDOG, ("NodeFilesystemAlmostFull", "db1")})
    expect(healthy(MYSQL) | {available: always(2e9)}, "4m", {WATCHDOG, ("NodeFilesystemAlmostFull", "db1")})


def test_a_read_only_medium_may_be_full(expect: Expect) -> None:
    series = {
        of("node_filesystem_avail_bytes", "db1", "node", DISK): always(0),
        of("node_filesystem_readonly", "db1", "node", DISK): always(1),
    }
    expect(healthy(MYSQL) | series, "10m", {WATCHDOG})


def test_a_filesystem_fills_up(expect: Expect) -> None:
    # 2 GB an hour of 37: full within a day. Six hours of history come before the judgement, and one confirms it.
    interval, hour = 300, 12
    series = {
        of("node_filesystem_avail_bytes", "db1", "node", DISK): f"51e9-{2e9 / hour:.0f}x{8 * hour}",
        of("node_filesystem_size_bytes", "db1", "node", DISK): f"100e9x{8 * hour}",
        of("node_filesystem_readonly", "db1", "node", DISK): f"0x{8 * hour}",
    }
    expect(series, "1h 5h55m", {WATCHDOG}, interval)
    expect(series, "7h30m", {WATCHDOG, ("NodeFilesystemFillingUp", "db1")}, interval)


def test_a_filesystem_becomes_read_only(expect: Expect) -> None:
    series = healthy(MYSQL) | {of("node_filesystem_readonly", "db1", "node", DISK): f"0x{4 * 20} 1x{4 * 20}"}
    available = of("node_filesystem_avail_bytes", "db1", "node", DISK)
    expect(series | {available: f"60e9x{4 * 40}"}, "25m", {WATCHDOG, ("NodeFilesystemReadOnly", "db1")})


@pytest.mark.parametrize(
    ("metric", "more", "values", "alert"),
    [
        ("node_filesystem_files_free", DISK, always(1e5), "NodeInodesAlmostUsedUp"),
        ("node_memory_MemAvailable_bytes", "", always(2e8), "NodeMemoryLow"),
        ("node_vmstat_oom_kill", "", after(0, 1, 30), "NodeOutOfMemoryKill"),
        ("node_time_seconds", "", rising(15, 5), "NodeClockSkewed"),
        ("node_time_seconds", "", rising(15, -5), "NodeClockSkewed"),
        (
            "node_systemd_unit_state",
            ', name="ssh.service", state="failed", type="notify"',
            after(0, 1),
            "NodeUnitFailed",
        ),
        ("node_systemd_service_restart_total", ', name="ssh.service"', after(0, 5, 30), "NodeUnitRestarting"),
    ],
)
def test_a_machine_in_trouble(expect: Expect, metric: str, more: str, values: str, alert: str) -> None:
    assert of(metric, "web1", "node", more) in healthy(MYSQL)
    expect(healthy(MYSQL) | {of(metric, "web1", "node", more): values}, "10m", {WATCHDOG, (alert, "web1")})


def test_a_clock_that_nobody_sets(expect: Expect) -> None:
    series = healthy(MYSQL)
    long = {name: values.replace(f"x{STEPS}", f"x{STEPS * 2}") for name, values in series.items()}
    long |= {
        of("node_timex_sync_status", "db2", "node"): f"0x{STEPS * 2}",
        of("node_timex_maxerror_seconds", "db2", "node"): f"16x{STEPS * 2}",
    }
    expect(long, "15m", {WATCHDOG, ("NodeClockNotSynchronised", "db2")})


# Balancer, nginx and application


def test_a_site_without_servers(expect: Expect) -> None:
    series = healthy(MYSQL) | haproxy_backend("lb1", "site", {"web1": False, "web2": False})
    expect(series, "2m", {WATCHDOG, ("HAProxyNoServer", "lb1"), ("HAProxyServerDown", "lb1")})


def test_a_server_is_down(expect: Expect) -> None:
    series = healthy(MYSQL) | haproxy_backend("lb1", "site", {"web1": True, "web2": False})
    expect(series, "2m", {WATCHDOG, ("HAProxyServerDown", "lb1")})


def test_an_endpoint_without_primary(expect: Expect) -> None:
    series = healthy(MYSQL) | haproxy_backend("web1", "mysql_primary", {"db1": False, "db2": False})
    expect(series, "2m", {WATCHDOG, ("HAProxyNoServer", "web1")})


def test_an_endpoint_without_replica_uses_the_primary(expect: Expect) -> None:
    series = healthy(MYSQL) | haproxy_backend("web1", "mysql_replica", {"db1": False, "db2": False})
    expect(series, "2m", {WATCHDOG})


def test_an_endpoint_with_two_primaries(expect: Expect) -> None:
    series = healthy(MYSQL) | haproxy_backend("web1", "mysql_primary", {"db1": True, "db2": True})
    expect(series, "2m", {WATCHDOG, ("HAProxyTwoPrimaries", "web1")})


@pytest.mark.parametrize(
    ("metric", "more", "values", "alert"),
    [
        (
            "haproxy_server_check_up_down_total",
            ', proxy="site", server="web1"',
            after(0, 6, 30),
            "HAProxyServerFlapping",
        ),
        ("haproxy_backend_retry_warnings_total", ', proxy="site"', rising(15), "HAProxyRetries"),
        ("haproxy_backend_current_queue", ', proxy="site"', after(0, 30), "HAProxyRequestsQueue"),
        ("haproxy_process_current_connections", "", after(50, 19000), "HAProxyConnectionsNearLimit"),
        ("haproxy_frontend_http_responses_total", ', proxy="sites", code="5xx"', rising(15), "SiteErrors"),
        (
            "haproxy_server_http_responses_total",
            ', proxy="site", server="web1", code="5xx"',
            rising(15),
            "ApplicationErrors",
        ),
        (
            "haproxy_server_response_time_average_seconds",
            ', proxy="site", server="web1"',
            always(5),
            "ApplicationSlow",
        ),
    ],
)
def test_a_balancer_in_trouble(expect: Expect, metric: str, more: str, values: str, alert: str) -> None:
    assert of(metric, "lb1", "haproxy", more) in healthy(MYSQL)
    expect(healthy(MYSQL) | {of(metric, "lb1", "haproxy", more): values}, "9m", {WATCHDOG, (alert, "lb1")})


def test_an_idle_site_is_neither_slow_nor_broken(expect: Expect) -> None:
    server = ', proxy="site", server="web1"'
    series = healthy(MYSQL) | {
        of("haproxy_server_response_time_average_seconds", "lb1", "haproxy", server): always(5),
        of("haproxy_server_http_responses_total", "lb1", "haproxy", server + ', code="2xx"'): always(1000),
        of("haproxy_frontend_http_responses_total", "lb1", "haproxy", ', proxy="sites", code="2xx"'): always(1000),
    }
    expect(series, "9m", {WATCHDOG})


@pytest.mark.parametrize(
    ("metric", "values", "alert"),
    [
        ("nginx_up", after(1, 0), "NginxDown"),
        ("nginx_connections_handled", rising(70, 300), "NginxConnectionsDropped"),
    ],
)
def test_nginx_in_trouble(expect: Expect, metric: str, values: str, alert: str) -> None:
    expect(healthy(MYSQL) | {of(metric, "web1", "nginx"): values}, "9m", {WATCHDOG, (alert, "web1")})


# Prometheus itself


@pytest.mark.parametrize(
    ("metric", "job", "more", "values", "alert"),
    [
        ("prometheus_config_last_reload_successful", "prometheus", "", after(1, 0), "PrometheusBadConfiguration"),
        ("alertmanager_config_last_reload_successful", "alertmanager", "", after(1, 0), "PrometheusBadConfiguration"),
        (
            "prometheus_rule_evaluation_failures_total",
            "prometheus",
            ', rule_group="mysql"',
            rising(1),
            "PrometheusRuleFailures",
        ),
        (
            "prometheus_notifications_alertmanagers_discovered",
            "prometheus",
            "",
            after(1, 0),
            "PrometheusNotConnectedToAlertmanager",
        ),
        (
            "prometheus_notifications_errors_total",
            "prometheus",
            ', alertmanager="http://lb1:9093"',
            rising(1),
            "PrometheusNotificationsFailing",
        ),
        ("prometheus_notifications_dropped_total", "prometheus", "", rising(1), "PrometheusNotificationsFailing"),
        (
            "alertmanager_notifications_failed_total",
            "alertmanager",
            ', integration="webhook"',
            rising(1),
            "AlertmanagerNotificationsFailing",
        ),
        ("prometheus_tsdb_compactions_failed_total", "prometheus", "", after(0, 1), "PrometheusStorageFailing"),
        ("prometheus_tsdb_wal_corruptions_total", "prometheus", "", after(0, 1), "PrometheusStorageFailing"),
    ],
)
def test_the_monitoring_in_trouble(expect: Expect, metric: str, job: str, more: str, values: str, alert: str) -> None:
    assert of(metric, "lb1", job, more) in healthy(MYSQL)
    expect(healthy(MYSQL) | {of(metric, "lb1", job, more): values}, "9m", {WATCHDOG, (alert, "lb1")})


def test_every_alert_has_a_test() -> None:
    source = Path(__file__).read_text()
    for rules in RULES:
        for group in yaml.safe_load(rules.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    assert f'"{rule["alert"]}"' in source, f"no test expects {rule['alert']}"


def held(host: str) -> str:
    """Whether a balancer holds the virtual address."""
    return of("webstack_virtual_address_held", host, "node", ', address="192.0.2.10"')


def test_a_virtual_address_that_one_balancer_holds_or_that_moves_once(expect: Expect) -> None:
    expect(healthy(MYSQL) | {held("lb1"): always(1), held("web1"): always(0)}, "5m", {WATCHDOG})
    expect(healthy(MYSQL) | {held("lb1"): after(1, 0), held("web1"): after(0, 1)}, "1m 5m", {WATCHDOG})


def test_a_virtual_address_that_nobody_holds(expect: Expect) -> None:
    series = healthy(MYSQL) | {held("lb1"): after(1, 0), held("web1"): always(0)}
    expect(series, "2m", {WATCHDOG, ("VirtualAddressNotHeld", "")})


def test_a_virtual_address_that_two_hold(expect: Expect) -> None:
    series = healthy(MYSQL) | {held("lb1"): always(1), held("web1"): after(0, 1)}
    expect(series, "2m", {WATCHDOG, ("VirtualAddressHeldTwice", "")})


def test_a_virtual_address_that_comes_and_goes(expect: Expect) -> None:
    series = healthy(MYSQL) | {held("lb1"): "1 0 1 0 1 0 1x34", held("web1"): "0 1 0 1 0 1 0x34"}
    expect(series, "5m", {WATCHDOG, ("VirtualAddressMoves", "lb1"), ("VirtualAddressMoves", "web1")})
