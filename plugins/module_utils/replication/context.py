# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is judged, and by which limits: a server, its primary where it can be reached, and the caller's policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from .model import OFF, Channel, Server

DEFAULT_POLICY: dict[str, Any] = {
    "role": "auto",
    "channel": "*",
    "expected_source_host": None,
    "expected_source_port": None,
    "expected_source_uuid": None,
    "expected_source_server_id": None,
    "expected_replicas": None,
    "max_lag": 30.0,
    "warn_lag": 10.0,
    "max_lag_transactions": 10000,
    "max_source_silence": None,
    "min_retry_window": 3600,
    "min_binlog_retention": 86400,
    "allow_errant": False,
    "ignore_errant_uuids": (),
    "allow_filters": False,
    "allow_multi_source": False,
    "expected_delay": 0,
    "require_read_only": True,
    "require_super_read_only": True,
    "require_boot_read_only": True,
    "boot_read_only": None,
    "require_gtid": True,
    "require_auto_position": True,
    "require_tls": True,
    "require_tls_verify": False,
    "require_semi_sync": None,
    "require_durable": True,
    "require_promotable": False,
    "min_free_disk_percent": 10.0,
    "min_group_members": 3,
    "inspect_tables": True,
    "max_auto_increment_percent": 80.0,
    "min_certificate_days": 14.0,
    "checks": {},
}


def policy_from(options: Mapping[str, Any]) -> dict[str, Any]:
    """The rules' policy out of module options; what is not given keeps its default."""
    policy = dict(DEFAULT_POLICY)
    policy.update({k: v for k, v in options.items() if k in policy and v is not None})
    return policy


@dataclass
class Context:
    """What is judged: one server, optionally its primary, optionally the whole set."""

    local: Server
    policy: dict[str, Any]
    primary: Server | None = None
    primary_gtid: str = ""
    primary_error: str = ""
    errant: Any = None
    # Tables that differ from the primary's, each with what differs; None until this is confirmed.
    differing: dict[tuple[str, str], str] | None = None
    # Whether that could be confirmed at all: a replica that is behind differs for that reason alone.
    comparable: bool = True
    probe: dict[str, Any] | None = None
    compare: dict[str, Any] | None = None

    @property
    def role(self) -> str:
        """The role that is judged: the wanted one, else the observed one."""
        wanted = self.policy["role"]
        if wanted != "auto":
            return str(wanted)
        observed = self.local.role
        return "group" if observed.startswith("group") else observed

    @property
    def replica(self) -> bool:
        """Whether the server is judged as a replica."""
        return self.role == "replica"

    @property
    def judged_channels(self) -> list[Channel]:
        """The channels that the policy names."""
        wanted = str(self.policy["channel"]).lower()
        return [c for c in self.local.channels if wanted in {"*", c.name.lower()}]

    @property
    def working_channels(self) -> list[Channel]:
        """Those of the judged channels that are meant to work on a server of this role."""
        if self.replica or self.local.role == "group_primary" and self.role == "group":
            return self.judged_channels
        if self.role != "group":
            return []
        # A member that is not the primary may not run a channel of its own; one with an error was started by somebody.
        return [c for c in self.judged_channels if (c.io_state, c.sql_state) != (OFF, OFF) or c.broken]

    @property
    def own_channels(self) -> list[Channel]:
        """Those of the judged channels that follow the primary that is compared."""
        judged = self.judged_channels
        if self.primary is None or len(self.local.channels) < 2:
            return judged
        return [c for c in judged if c.leads_to(self.primary)] or [c for c in judged if not c.identified]

    @property
    def other_channels(self) -> list[Channel]:
        """Channels that follow other sources, so that the primary need not have what they deliver."""
        if self.primary is None or len(self.local.channels) < 2:
            return []
        return [c for c in self.local.channels if c.identified and not c.leads_to(self.primary)]

    @property
    def d(self) -> Any:
        """The dialect of the server."""
        return self.local.dialect
