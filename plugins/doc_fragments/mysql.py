# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The connection options, named as in community.mysql."""

    DOCUMENTATION = r"""
options:
  login_user:
    description:
      - Account to log in with.
      - When neither this nor a readable O(config_file) is given, V(root) is used; an empty string is no account.
    type: str
  login_password:
    description: Password of O(login_user). Not needed for socket authentication.
    type: str
  login_host:
    description: Address of the server. A connection over TCP is encrypted whenever the server offers TLS.
    type: str
    default: localhost
  login_port:
    description: TCP port of the server.
    type: int
    default: 3306
  login_unix_socket:
    description:
      - Path of the server's Unix socket. Takes precedence over O(login_host).
      - Socket authentication (C(auth_socket), C(unix_socket)) needs this.
    type: str
  config_file:
    description:
      - Option file whose C([client]) section gives user and password when O(login_user) is not given.
      - An empty string keeps any file from being read.
    type: path
    default: ~/.my.cnf
  connect_timeout:
    description: Seconds to wait for the connection.
    type: int
    default: 30
  read_timeout:
    description: Seconds to wait for each answer of the server, so that a frozen server cannot hang the play.
    type: int
    default: 10
  ca_cert:
    description:
      - File with the certificate authority that signed the server's certificate.
      - When given, TLS is required and the certificate is verified.
    type: path
    aliases: [ssl_ca]
  client_cert:
    description: File with the client's certificate. When given, TLS is required.
    type: path
    aliases: [ssl_cert]
  client_key:
    description: File with the private key of O(client_cert).
    type: path
    aliases: [ssl_key]
  check_hostname:
    description: Whether the certificate must name the host that was connected to. True when O(ca_cert) is given.
    type: bool
requirements:
  - PyMySQL (package C(python3-pymysql)) on the host that runs the module
"""
