# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of five healthy nodes, as the exporters of Debian 13 name them: the part that the rules look at."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from places import TOP

RULES = sorted((TOP / "roles" / "monitoring" / "files" / "rules").glob("*.yml"))

Series = dict[str, str]
Alert = tuple[str, str]
Promtool = Callable[..., subprocess.CompletedProcess[str]]
Expect = Callable[..., None]

INTERVAL = 15
STEPS = 40  # ten minutes, a sample every fifteen seconds


def always(value: float) -> str:
    """The same value all the time."""
    return f"{value}x{STEPS}"


def rising(step: float, start: float = 0) -> str:
    """A counter."""
    return f"{start}+{step}x{STEPS}"


def after(before: float, value: float, steps: int = 4) -> str:
    """One value for C(steps) samples (a minute by default), then another."""
    return f"{before}x{steps - 1} {value}x{STEPS - steps}"


def gone(value: float, steps: int = 4) -> str:
    """A value for C(steps) samples, then none: the exporter answers and no longer has it."""
    return f"{value}x{steps - 1} stale _x{STEPS - steps}"


def node(host: str) -> Series:
    """A machine."""
    name = f'instance="{host}", job="node"'
    disk = f'{name}, device="/dev/vda1", fstype="ext4", mountpoint="/"'
    return {
        f"up{{{name}}}": always(1),
        f"node_filesystem_avail_bytes{{{disk}}}": always(60e9),
        f"node_filesystem_size_bytes{{{disk}}}": always(100e9),
        f"node_filesystem_files_free{{{disk}}}": always(5e6),
        f"node_filesystem_files{{{disk}}}": always(6e6),
        f"node_filesystem_readonly{{{disk}}}": always(0),
        f"node_memory_MemAvailable_bytes{{{name}}}": always(3e9),
        f"node_memory_MemTotal_bytes{{{name}}}": always(4e9),
        f"node_vmstat_oom_kill{{{name}}}": always(0),
        f"node_time_seconds{{{name}}}": rising(15),
        f"node_timex_sync_status{{{name}}}": always(1),
        f"node_timex_maxerror_seconds{{{name}}}": always(0.01),
        f'node_systemd_unit_state{{{name}, name="ssh.service", state="active", type="notify"}}': always(1),
        f'node_systemd_unit_state{{{name}, name="ssh.service", state="failed", type="notify"}}': always(0),
        f'node_systemd_service_restart_total{{{name}, name="ssh.service"}}': always(0),
    }


def haproxy_backend(host: str, proxy: str, servers: dict[str, bool]) -> Series:
    """A backend with the state of its servers."""
    name = f'instance="{host}", job="haproxy", proxy="{proxy}"'
    up = sum(servers.values())
    series = {
        f'haproxy_backend_status{{{name}, state="UP"}}': always(int(up > 0)),
        f'haproxy_backend_status{{{name}, state="DOWN"}}': always(int(up == 0)),
        f"haproxy_backend_active_servers{{{name}}}": always(up),
        f"haproxy_backend_current_queue{{{name}}}": always(0),
        f"haproxy_backend_retry_warnings_total{{{name}}}": always(0),
        f"haproxy_backend_sessions_total{{{name}}}": rising(150),
    }
    for server, is_up in servers.items():
        of = f'{name}, server="{server}"'
        series[f'haproxy_server_status{{{of}, state="UP"}}'] = always(int(is_up))
        series[f'haproxy_server_status{{{of}, state="DOWN"}}'] = always(int(not is_up))
        series[f"haproxy_server_check_up_down_total{{{of}}}"] = always(0)
        if proxy == "site":
            series[f'haproxy_server_http_responses_total{{{of}, code="2xx"}}'] = rising(75)
            series[f'haproxy_server_http_responses_total{{{of}, code="5xx"}}'] = rising(0)
            series[f"haproxy_server_response_time_average_seconds{{{of}}}"] = always(0.02)
    return series


def haproxy_process(host: str) -> Series:
    """HAProxy itself."""
    name = f'instance="{host}", job="haproxy"'
    return {
        f"up{{{name}}}": always(1),
        f"haproxy_process_current_connections{{{name}}}": always(50),
        f"haproxy_process_max_connections{{{name}}}": always(20000),
    }


def balancer(host: str) -> Series:
    """HAProxy in front of the site."""
    name = f'instance="{host}", job="haproxy"'
    return {
        **haproxy_process(host),
        f'haproxy_frontend_http_responses_total{{{name}, proxy="admin", code="5xx"}}': rising(1),
        f'haproxy_frontend_http_responses_total{{{name}, proxy="sites", code="2xx"}}': rising(150),
        f'haproxy_frontend_http_responses_total{{{name}, proxy="sites", code="5xx"}}': rising(0),
        **haproxy_backend(host, "site", {"web1": True, "web2": True}),
    }


def web(host: str) -> Series:
    """nginx, and HAProxy for the database endpoints."""
    name = f'instance="{host}", job="nginx"'
    return {
        f"up{{{name}}}": always(1),
        f"nginx_up{{{name}}}": always(1),
        f"nginx_connections_accepted{{{name}}}": rising(75, 300),
        f"nginx_connections_handled{{{name}}}": rising(75, 300),
        **haproxy_process(host),
        **haproxy_backend(host, "mysql_primary", {"db1": True, "db2": False}),
        **haproxy_backend(host, "mysql_replica", {"db1": False, "db2": True}),
    }


def database(host: str, *, writable: bool) -> Series:
    """What MySQL and MariaDB name alike."""
    name = f'instance="{host}", job="mysql"'
    return {
        f"up{{{name}}}": always(1),
        f"mysql_up{{{name}}}": always(1),
        f"mysql_global_variables_read_only{{{name}}}": always(int(not writable)),
        f"mysql_global_status_threads_connected{{{name}}}": always(20),
        f"mysql_global_variables_max_connections{{{name}}}": always(500),
        f'mysql_exporter_collector_success{{{name}, collector="collect.slave_status"}}': always(1),
    }


MYSQL = {
    "io": "replica_io_running",
    "sql": "replica_sql_running",
    "lag": "seconds_behind_source",
    "semi_sync": "source",
}
MARIADB = {"io": "slave_io_running", "sql": "slave_sql_running", "lag": "seconds_behind_master", "semi_sync": "master"}


def status(column: str, host: str = "db2", channel: str = "") -> str:
    """A column of the replication status."""
    return (
        f'mysql_slave_status_{column}{{instance="{host}", job="mysql", channel_name="{channel}", connection_name="", '
        f'master_host="10.0.0.4", master_uuid="b31191f1-e54c-11f1-9998-0242ac110008"}}'
    )


def replica(host: str, engine: dict[str, str]) -> Series:
    """A replica that is not behind."""
    return {
        status(engine["io"], host): always(1),
        status(engine["sql"], host): always(1),
        status(engine["lag"], host): always(0),
        status("sql_delay", host): always(0),
    }


def verdict(host: str, holds: str, at: str) -> Series:
    """The verdict on replication that the host has left for its node exporter."""
    name = f'instance="{host}", job="node"'
    return {
        **{
            f'mysql_replication_verdict{{{name}, verdict="{each}"}}': always(int(each == holds))
            for each in ("ok", "warning", "critical", "unknown")
        },
        f"mysql_replication_verdict_timestamp_seconds{{{name}}}": at,
    }


def semi_sync(host: str, engine: dict[str, str], *, enabled: bool, active: bool) -> Series:
    """The sending side of semi-synchronous replication."""
    name = f'instance="{host}", job="mysql"'
    return {
        f"mysql_global_variables_rpl_semi_sync_{engine['semi_sync']}_enabled{{{name}}}": always(int(enabled)),
        f"mysql_global_status_rpl_semi_sync_{engine['semi_sync']}_status{{{name}}}": always(int(active)),
        f"mysql_global_status_rpl_semi_sync_{engine['semi_sync']}_clients{{{name}}}": always(1),
        f"mysql_global_status_rpl_semi_sync_{engine['semi_sync']}_no_tx{{{name}}}": always(3),
        # MariaDB waits for one, and has no such variable.
        **(
            {f"mysql_global_variables_rpl_semi_sync_source_wait_for_replica_count{{{name}}}": always(1)}
            if engine["semi_sync"] == "source"
            else {}
        ),
    }


def monitoring(host: str) -> Series:
    """Prometheus and Alertmanager."""
    prometheus = f'instance="{host}", job="prometheus"'
    alertmanager = f'instance="{host}", job="alertmanager"'
    return {
        f"up{{{prometheus}}}": always(1),
        f"up{{{alertmanager}}}": always(1),
        f"prometheus_config_last_reload_successful{{{prometheus}}}": always(1),
        f"alertmanager_config_last_reload_successful{{{alertmanager}}}": always(1),
        f'prometheus_rule_evaluation_failures_total{{{prometheus}, rule_group="mysql"}}': always(0),
        f"prometheus_notifications_alertmanagers_discovered{{{prometheus}}}": always(1),
        f'prometheus_notifications_errors_total{{{prometheus}, alertmanager="http://lb1:9093"}}': always(0),
        f"prometheus_notifications_dropped_total{{{prometheus}}}": always(0),
        f'alertmanager_notifications_failed_total{{{alertmanager}, integration="webhook"}}': always(0),
        f"prometheus_tsdb_compactions_failed_total{{{prometheus}}}": always(0),
        f"prometheus_tsdb_wal_corruptions_total{{{prometheus}}}": always(0),
    }


def healthy(engine: dict[str, str]) -> Series:
    """The five nodes, with db1 as the primary and db2 following it."""
    series: Series = {}
    for host in ("lb1", "web1", "web2", "db1", "db2"):
        series |= node(host)
    series |= balancer("lb1") | monitoring("lb1")
    series |= web("web1") | web("web2")
    series |= database("db1", writable=True) | database("db2", writable=False) | replica("db2", engine)
    for host in ("db1", "db2"):
        series |= verdict(host, "ok", rising(INTERVAL))
    series |= semi_sync("db1", engine, enabled=True, active=True)
    return series
