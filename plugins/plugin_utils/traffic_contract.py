# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be true of the variables that say which requests come through, and how long they may last.

Pure: hosts and variables in, problems out, as in the inventory contract.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

HOST = re.compile(
    r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE
)
WITH_PORT = re.compile(r"(?P<host>[^:\[\]]+|\[[0-9A-Fa-f:.]+\]):\d*")
HEADER = re.compile(r"[A-Za-z0-9-]+")
# Written unquoted into the configuration of HAProxy and nginx.
PATH = re.compile(r"/[A-Za-z0-9/._~-]*")
# Set or needed by the balancers themselves; without these headers no request would arrive as it should.
OWN_HEADERS = ("host", "x-request-id", "connection", "upgrade", "content-length", "transfer-encoding")


class Variables(Protocol):
    """The part of the stack that is needed here."""

    given: Mapping[str, Collection[str]]

    def members(self, group: str) -> list[str]:
        """Hosts of a group."""

    def value(self, host: str, name: str) -> Any:
        """A variable of a host, or its default."""


def listed(stack: Variables, host: str, name: str) -> list[str]:
    """The texts of a list; a value that is no list is reported elsewhere."""
    found = stack.value(host, name)
    return [str(item) for item in found] if isinstance(found, list) else []


def is_host(text: str) -> bool:
    """Whether it is a host name or an address, without a port."""
    try:
        ipaddress.ip_address(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    except ValueError:
        # A name of digits and dots alone is an address that is wrong.
        return bool(HOST.fullmatch(text)) and not re.fullmatch(r"[\d.]+", text)
    return True


def check_hosts(stack: Variables, host: str) -> Iterable[str]:
    """Names and addresses for which a balancer answers besides those of the sites."""
    for text in listed(stack, host, "haproxy_additional_hosts"):
        if is_host(text):
            continue
        found = WITH_PORT.fullmatch(text)
        fix = (
            f"write {found['host']}, whatever port clients name is taken"
            if found
            else "name hosts as in www.example.com"
        )
        yield f"{host}: haproxy_additional_hosts has '{text}', which is no host name and no address: {fix}."


def check_streams(stack: Variables, host: str) -> Iterable[str]:
    """Paths whose answers are not held back."""
    for text in listed(stack, host, "webstack_stream_paths"):
        if not PATH.fullmatch(text):
            yield (
                f"{host}: webstack_stream_paths has '{text}', which is not the beginning of a path: "
                "begin it with a slash, and use letters, digits and /._~- alone."
            )


def check_headers(stack: Variables, host: str) -> Iterable[str]:
    """Header fields that are removed from requests."""
    for text in listed(stack, host, "webstack_removed_headers"):
        if not HEADER.fullmatch(text):
            yield (
                f"{host}: webstack_removed_headers has '{text}', which is no name of a header field: "
                "write it as in X-Real-IP."
            )
        elif text.lower() in OWN_HEADERS:
            yield (
                f"{host}: webstack_removed_headers has '{text}', without which no request arrives: "
                "take it from the list."
            )


def check_capacity(stack: Variables, host: str, nodes: Iterable[str]) -> Iterable[str]:
    """Variables from which a balancer derives its connections to a web node are the same on that node."""
    if "haproxy_server_maxconn" in stack.given[host]:
        return
    names = ["webstack_app_runtime", "webstack_app_asgi"]
    if stack.value(host, "webstack_app_runtime") in ("python", "php") and not stack.value(host, "webstack_app_asgi"):
        names += ["webstack_app_workers", "webstack_app_threads"]
    for node in nodes:
        for name in names:
            here, there = stack.value(host, name), stack.value(node, name)
            if here != there:
                yield (
                    f"{host}: {name} = {here!r}, but {node} has {there!r}, so haproxy_server_maxconn would not fit "
                    f"it: set {name} for the group all, or haproxy_server_maxconn for the group haproxy."
                )


def check_traffic(stack: Variables) -> Iterable[str]:
    """Everything about requests, on the nodes that handle them."""
    balancers, web = stack.members("haproxy"), stack.members("web")
    for host in balancers:
        yield from check_hosts(stack, host)
        yield from check_capacity(stack, host, web)
    for host in dict.fromkeys([*balancers, *web]):
        yield from check_streams(stack, host)
        yield from check_headers(stack, host)
