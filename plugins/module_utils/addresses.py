# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and names in the one form by which they can be compared as text, and are written before a port."""

from __future__ import annotations

import ipaddress


def canonical(address: str) -> str:
    """An address as the kernel writes it, C(fd00::1) for C(FD00:0:0::1); what is no address stays as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def bracketed(host: str) -> str:
    """A host as it is written before a port: an address of IPv6 in brackets, all else as it is."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def host_port(address: str, port: int | str) -> str:
    """C(address:port), with brackets around an IPv6 address."""
    return f"{bracketed(str(address))}:{port}"


def certificate_name(name: str) -> str:
    """A subject alternative name as C(DNS:) or C(IP:), in the form by which two of them can be compared."""
    kind, colon, value = name.partition(":")
    if kind == "IP":
        return f"IP:{canonical(value)}"
    return f"DNS:{value.lower()}" if kind == "DNS" and colon else name
