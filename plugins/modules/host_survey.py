#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node already runs and holds, before anything is changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_survey
short_description: What a node already runs and holds
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Collects in one round trip what preflight needs to know of a node and the standard facts do not contain.
  - Reads only; needs nothing but Python and C(/proc).
options:
  gather_subset:
    description: What to gather, V(all) standing for everything.
    type: list
    elements: str
    choices: [all, addresses, listeners, database, packages, certificates, links, open_files, services, haproxy, state,
      deployed]
    default: [all]
  datadir:
    description: Data directory that the database server is to have; by default the one of the running server.
    type: path
    default: ""
  mysql_socket:
    description: Socket of a running database server, which is queried with its own client program.
    type: path
    default: /run/mysqld/mysqld.sock
  mysql_user:
    description: Account to query it with. Without one it is that of root's option file, or root itself.
    type: str
    default: ""
  mysql_password:
    description: Password of O(mysql_user).
    type: str
    default: ""
  certificates:
    description: Directories with certificates C(<name>.pem) and their keys, in the same file or in C(<name>.key).
    type: list
    elements: path
    default: []
  authority:
    description: PEM content of the authority by which certificates are checked; without one none is trusted.
    type: str
    default: ""
  links:
    description: Symbolic links to read.
    type: list
    elements: path
    default: []
  units:
    description: Units that the node is to run, with their suffix; RV(services) has what is wrong with them.
    type: list
    elements: str
    default: []
  state_of:
    description: >-
      Patterns of the files and directories whose RV(state) to gather; C(**/*) stands for everything below a directory.
      Symbolic links and files of more than a megabyte are left out.
    type: list
    elements: str
    default: []
  ca_path:
    description: Certificate of the authority that an earlier deployment configured, for RV(deployed).
    type: path
    default: /etc/ssl/webstack/ca.pem
  passwords_path:
    description: Digests of the passwords that an earlier deployment configured, for RV(deployed).
    type: path
    default: /etc/ssl/webstack/passwords
attributes:
  check_mode:
    description: Never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Gather the state of the node
  pentad.webstack.host_survey:
  register: survey
"""

RETURN = r"""
addresses:
  description: IP addresses of the node's interfaces, those of the loopback included.
  returned: if gathered
  type: list
  elements: str
  sample: [127.0.0.1, 192.0.2.21, "fd00::21"]
listeners:
  description: TCP sockets that listen, with the name of the process (empty if it cannot be read).
  returned: if gathered
  type: list
  elements: dict
  sample: [{"address": "127.0.0.1", "port": 3306, "process": "haproxy"}]
database:
  description: >-
    What the data directory holds: its path C(datadir), C(engine) (empty if nothing is there), C(schemas) that are not
    the server's own, C(server_uuid), and C(version) of the server program that is installed. C(packaged_datadir) is
    where the packages make one. C(elsewhere) are the schemas in data directories that were found beside it, by path.
    C(server) is what a running server answers, empty where none runs; C(refused) with the reason where it refuses the
    login, otherwise C(variables), whether it has C(time_zones), C(not_cloned), the tables of MySQL that a clone leaves
    empty, and C(valid), from when and until when the certificate is valid that it shows.
  returned: if gathered
  type: dict
  sample:
    datadir: /var/lib/mysql
    engine: mysql
    schemas: [guestbook]
    server_uuid: c0ffee00-0000-11f0-8000-000000000001
    version: 9.7.4
    packaged_datadir: /var/lib/mysql
    elsewhere: {}
    server:
      variables: {gtid_mode: "ON", lower_case_table_names: "0"}
      time_zones: true
      not_cloned: []
      valid: [Nov 28 01:28:07 2026 GMT, Mar  2 01:28:07 2029 GMT]
packages:
  description: >-
    Names of the Debian packages that are installed, separated by spaces. As a list of hundreds they would be copied,
    one by one, for every task and template that sees the survey.
  returned: if gathered
  type: str
  sample: haproxy openssl
certificates:
  description: >-
    Certificates with a key, by path: C(days_left), a negative number for one that has ended; C(names) as in a request;
    whether the key C(key_matches); whether it is C(trusted) by O(authority); C(sha256) of the file; C(valid),
    from when and until when, in the form of a server's C(Ssl_server_not_after).
  returned: if gathered
  type: dict
  sample:
    /etc/mysql/tls/server.pem: {days_left: 824.9, names: ["DNS:db1", "IP:192.0.2.31"], key_matches: true, trusted: true,
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08,
      valid: [Nov 28 01:28:07 2026 GMT, Mar  2 01:28:07 2029 GMT]}
open_files:
  description: >-
    How many files a service can have open at most: what the kernel allows where systemd may raise limits, and
    otherwise, as in many containers, the limit that systemd itself has.
  returned: if gathered
  type: int
  sample: 1048576
links:
  description: Targets of the links that are there, by path.
  returned: if gathered
  type: dict
  sample: {/srv/app/current: /srv/app/releases/6b1f0c9a2d3e4f50}
services:
  description: >-
    Of the O(units), those that are C(masked); those that have C(failed) or end as often as they are started, with the
    end of their journal; and what is C(pending) of them, which M(pentad.webstack.host_pending) does.
  returned: if gathered
  type: dict
  sample: {masked: [], failed: {app.service: "ends as soon as it is started: no module named app"}, pending: {}}
haproxy:
  description: >-
    Names of the C(servers) that the HAProxy of this node has in any backend. As C(backend/server), those that get no
    requests, because they are C(drained) or because an operator has put them into maintenance (C(maintained)), and the
    C(addresses) of all. Empty where none runs.
  returned: if gathered
  type: dict
  sample: {servers: [web1], drained: [], maintained: [site/web1], addresses: {site/web1: 192.0.2.21}}
state:
  description: >-
    For O(pentad.webstack.host_config#module:observed), compressed: of each path the SHA-256 (empty for a directory),
    owner, group and mode; labels, which are lines C(X-...) of unit files; accounts; states of the units that systemd
    has loaded, and which of them it has to read anew, end as often as they are started or are masked; units that
    other units want; what is pending. Empty without O(state_of). A string for the reason that RV(packages) is one.
  returned: if gathered
  type: str
  sample: eJyrVipILMlQslKIVtJPLUnWz0gsTk2syE8uqVTSUVACE0X5+SVwhoGBgSmIUaujkFyaVJWqZKUEkq4FAKSdFQg=
deployed:
  description: >-
    What an earlier deployment left: C(authority), the SHA-256 of the certificate in O(ca_path), and C(passwords), the
    digests in O(passwords_path), from which no password can be derived; both empty where there is nothing.
  returned: if gathered
  type: dict
  sample:
    authority: 5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9
    passwords: {webstack_app_password: 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b}
"""

import contextlib
import grp
import hashlib
import ipaddress
import os
import pwd
import re
import shutil
import ssl
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import pending
from ..module_utils.addresses import certificate_name
from ..module_utils.haproxy_runtime import DRAINED, MAINTAINED, SOCKET, Runtime
from ..module_utils.node_state import fingerprint, packed
from ..module_utils.systemd import MASKS, UNITS, Systemd, loops, masked

LISTEN = "0A"
CAP_SYS_RESOURCE = 1 << 24
PROC = Path("/proc")
DPKG = Path("/var/lib/dpkg/status")
# Nothing that a service is configured by is larger.
LARGEST_FILE = 2**20
SYSTEM_SCHEMAS = {"mysql", "sys", "performance_schema"}
# Where the packages put the data.
DATADIR = Path("/var/lib/mysql")
# MariaDB skips what is in the comment: it is copied in another way, and would open each table to find its engine.
STATEMENTS = """
SELECT '#time_zones', COUNT(*) FROM mysql.time_zone_name WHERE Name = 'UTC';
SHOW GLOBAL VARIABLES WHERE Variable_name IN
  ('datadir', 'gtid_mode', 'lower_case_table_names', 'innodb_page_size', 'innodb_data_file_path')
  OR Variable_name LIKE 'rpl_semi_sync_%_enabled'
  OR Variable_name LIKE 'validate_password%' OR Variable_name LIKE 'simple_password_check%';
SHOW GLOBAL STATUS WHERE Variable_name IN ('Ssl_server_not_before', 'Ssl_server_not_after');
/*!80000 SELECT '#table', CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, ' (', ENGINE, ')') FROM information_schema.TABLES
  WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE NOT IN ('InnoDB', 'BLACKHOLE', 'FEDERATED', 'MRG_MYISAM')
  AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') ORDER BY 2 */;
"""


def address(text: str) -> str:
    """Address in the kernel's hexadecimal form, four bytes at a time in host order."""
    raw = b"".join(bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8))
    found = ipaddress.ip_address(raw)
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def addresses(_module: AnsibleModule) -> list[str]:
    """Addresses of the node, as they are now, not as cached facts have them."""
    routes, own = PROC / "net" / "fib_trie", PROC / "net" / "if_inet6"
    # Without a protocol in the kernel there is no table of it.
    found = set(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", routes.read_text())) if routes.exists() else set()
    lines = own.read_text().splitlines() if own.exists() else []
    return sorted(found | {str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in lines})


def sockets(table: str) -> dict[str, tuple[str, int]]:
    """Listening TCP sockets by inode, from the content of C(/proc/net/tcp) or C(/proc/net/tcp6)."""
    found = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTEN:
            host, port = fields[1].split(":")
            found[fields[9]] = (address(host), int(port, 16))
    return found


def owners(inodes: set[str], proc: Path) -> dict[str, str]:
    """Names of the processes that hold the given socket inodes; the one with the lowest number counts, the oldest."""
    names: dict[str, str] = {}
    for pid in sorted((int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()), reverse=True):
        for inode in socket_inodes(proc / str(pid) / "fd") & inodes:
            # The process may have ended by now.
            with contextlib.suppress(OSError):
                names[inode] = (proc / str(pid) / "comm").read_text().strip()
    return names


def socket_inodes(descriptors: Path) -> set[str]:
    """Inodes of the sockets that a process has open; none where it has ended or may not be read."""
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in descriptors.iterdir():
            # One that was closed since must not hide the others.
            with contextlib.suppress(OSError):
                match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor))
                if match:
                    found.add(match[1])
    return found


def listeners(_module: AnsibleModule) -> list[dict[str, Any]]:
    """Listening TCP sockets with their processes."""
    found = {}
    for table in (PROC / "net" / "tcp", PROC / "net" / "tcp6"):
        # Without IPv6 in the kernel there is no table of it.
        if table.exists():
            found.update(sockets(table.read_text()))
    names = owners(set(found), PROC)
    return [
        {"address": host, "port": port, "process": names.get(inode, "")}
        for inode, (host, port) in sorted(found.items(), key=lambda item: item[1][1])
    ]


def engine_of(datadir: Path) -> str:
    """Engine whose files the directory holds; empty if it holds none."""
    if (datadir / "aria_log_control").exists():
        return "mariadb"
    if (datadir / "mysql.ibd").exists():
        return "mysql"
    return "unknown" if (datadir / "ibdata1").exists() else ""


def schemas_in(datadir: Path) -> list[str]:
    """Schemas in a data directory that are not the server's own."""
    if not datadir.is_dir():
        return []
    return sorted(
        entry.name
        for entry in datadir.iterdir()
        if entry.is_dir() and not entry.name.startswith(("#", ".", "lost+found")) and entry.name not in SYSTEM_SCHEMAS
    )


def server_uuid(datadir: Path) -> str:
    """UUID that the server of a data directory has given itself."""
    automatic = datadir / "auto.cnf"
    if not automatic.exists():
        return ""
    match = re.search(r"^server-uuid\s*=\s*(\S+)", automatic.read_text(), re.MULTILINE)
    return match[1] if match else ""


def database(module: AnsibleModule) -> dict[str, Any]:
    """The database of the node: data directory, installed server program and running server."""
    server = running_server(module)
    in_use = (server.get("variables") or {}).get("datadir") or str(DATADIR)
    datadir = Path(os.path.normpath(module.params["datadir"] or in_use))
    others = [Path(os.path.normpath(each)) for each in (in_use, DATADIR)]
    # One may be a link to the other.
    found = {str(each): schemas_in(each) for each in others if each.resolve() != datadir.resolve()}
    program = shutil.which("mariadbd") or shutil.which("mysqld") or shutil.which("mysqld", path="/usr/sbin")
    version = ""
    if program:
        match = re.search(r"Ver (\d+\.\d+\.\d+)", module.run_command([program, "--version"])[1])
        version = match[1] if match else ""
    return {
        "datadir": str(datadir),
        "engine": engine_of(datadir),
        "schemas": schemas_in(datadir),
        "server_uuid": server_uuid(datadir),
        "version": version,
        "packaged_datadir": str(DATADIR),
        "elsewhere": {path: names for path, names in found.items() if names},
        "server": server,
    }


def running_server(module: AnsibleModule) -> dict[str, Any]:
    """What the server on the socket answers; its own client is used, because no library need be installed."""
    params = module.params
    password = params["mysql_password"]
    # It is in no result; as a secret, a short one would be blotted out of all other values.
    params["mysql_password"] = ""
    module.no_log_values.discard(password)
    client = shutil.which("mariadb") or shutil.which("mysql")
    if not client or not Path(params["mysql_socket"]).is_socket():
        return {}
    words = [f"--socket={params['mysql_socket']}", "--batch", "--skip-column-names", "--connect-timeout=5"]
    if client.endswith("mariadb"):
        # It shows values of its certificate only to a session over TLS.
        words += ["--ssl", "--disable-ssl-verify-server-cert"]
    if params["mysql_user"]:
        options = Path(module.tmpdir, "client.cnf")
        options.touch(mode=0o600)
        password = password.replace("\\", "\\\\").replace('"', '\\"')
        options.write_text(f'[client]\nuser="{params["mysql_user"]}"\npassword="{password}"\n')
        words.insert(0, f"--defaults-extra-file={options}")
    # A statement that one engine does not have is an error, after which the rest goes on.
    _code, out, err = module.run_command([client, *words, "--force"], data=STATEMENTS)
    return answers(out, err)


def answers(out: str, err: str) -> dict[str, Any]:
    """The client's output as values: variables by name, and rows that a statement has labelled with C(#)."""
    refused = re.search(r"^ERROR (1045|1698) .*?: (.*)$", err, re.MULTILINE)
    if refused:
        return {"refused": f"{refused[2]} ({refused[1]})"}
    rows = [line.split("\t") for line in out.splitlines()]
    if not rows:
        return {}
    variables = {row[0]: row[1] for row in rows if len(row) == 2 and not row[0].startswith("#")}
    return {
        "valid": [variables.pop(f"Ssl_server_not_{end}", "") for end in ("before", "after")],
        "variables": variables,
        "time_zones": ["#time_zones", "1"] in rows,
        "not_cloned": [row[1] for row in rows if row[0] == "#table"],
    }


def installed(status: str) -> list[str]:
    """Packages that are installed, from the content of dpkg's status file."""
    return sorted(re.findall(r"^Package: (\S+)\nStatus: \S+ ok installed$", status, re.MULTILINE))


def key_of(path: Path) -> Path | None:
    """The file with the key of a certificate: one beside it, or its own."""
    if path.with_suffix(".key").exists():
        return path.with_suffix(".key")
    return path if b"PRIVATE KEY-----" in path.read_bytes() else None


def certificates(module: AnsibleModule) -> dict[str, dict[str, Any]]:
    """The certificates as openssl reads them; none where it is not installed."""
    authority = module.params["authority"]
    if not shutil.which("openssl"):
        return {}
    trusted = Path(module.tmpdir, "authority.pem")
    trusted.write_text(authority)
    directories = [Path(directory) for directory in module.params["certificates"]]
    found = [path for directory in directories for path in directory.glob("*.pem") if key_of(path)]
    return {str(path): certificate(module, path, trusted if authority else None) for path in sorted(found)}


def certificate(module: AnsibleModule, path: Path, authority: Path | None) -> dict[str, Any]:
    """One certificate."""

    def openssl(*words: str) -> tuple[int, str]:
        return module.run_command(["openssl", *words])[:2]

    text = openssl("x509", "-in", str(path), "-noout", "-dates", "-ext", "subjectAltName", "-pubkey")[1]
    key = openssl("pkey", "-in", str(key_of(path)), "-pubout")[1].strip()
    trust = ("verify", "-no_check_time", "-CAfile", str(authority), "-untrusted", str(path), str(path))
    return {
        "days_left": days_left(text, time.time()),
        "names": names(text),
        "key_matches": bool(key) and key in text,
        "trusted": authority is not None and openssl(*trust)[0] == 0,
        "sha256": sha256(path),
        "valid": [printed(text, f"not{end}") for end in ("Before", "After")],
    }


def printed(text: str, name: str) -> str:
    """The value that openssl prints for a name; empty where it prints none."""
    found = re.search(rf"^{name}=(.+)$", text, re.MULTILINE)
    return found[1] if found else ""


def sha256(path: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def status_of(path: Path) -> list[str]:
    """Digest, owner, group and mode of a file or directory; empty for anything else and for a large file."""
    try:
        status = path.lstat()
        if not (stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_FILE)):
            return []
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
        digest = sha256(path) if stat.S_ISREG(status.st_mode) else ""
    # It was removed meanwhile, or its owner or group does not exist.
    except (FileNotFoundError, KeyError):
        return []
    return [digest, owner, group, f"{stat.S_IMODE(status.st_mode):04o}"]


def labels(path: Path) -> list[str]:
    """Lines of a unit file that systemd ignores."""
    return [line for line in path.read_text(errors="replace").split("\n") if line.startswith("X-")]


def state(module: AnsibleModule) -> str:
    """What the module host_config would find of the paths, accounts and units."""
    patterns = module.params["state_of"]
    if not patterns:
        return ""
    found = {path for pattern in patterns for path in Path("/").glob(pattern.lstrip("/"))}
    paths = {str(path): about for path in sorted(found) if (about := status_of(path))}
    own = [path for path in sorted(found) if path.parent == UNITS and paths.get(str(path), [""])[0]]
    units = Systemd(module).show(["*.service", "*.socket", "*.timer"])
    now = time.monotonic()
    return packed(
        {
            "paths": paths,
            "labels": {str(path): lines for path in own if (lines := labels(path))},
            "accounts": sorted(entry.pw_name for entry in pwd.getpwall()),
            "units": {
                name: {key: unit.get(key, "") for key in ("ActiveState", "UnitFileState")}
                for name, unit in units.items()
            },
            "unread": [name for name, unit in units.items() if unit.get("NeedDaemonReload") == "yes"],
            "looping": [name for name, unit in units.items() if loops(unit, now)],
            "masked": masked({path.name for top in MASKS for path in top.glob("*.*")}),
            "wanted": sorted({link.name for link in UNITS.glob("*.wants/*")}),
            "pending": pending.noted(),
        }
    )


def services(module: AnsibleModule) -> dict[str, Any]:
    """What is wrong with the units that the node is to run."""
    units = module.params["units"]
    systemctl, now = Systemd(module), time.monotonic()
    found = systemctl.show(units)
    failed = {
        name: "has failed" if unit.get("ActiveState") == "failed" else "ends as soon as it is started"
        for name, unit in found.items()
        if name in units and (unit.get("ActiveState") == "failed" or loops(unit, now))
    }
    notes = pending.noted()
    return {
        "masked": masked(units),
        "failed": {name: f"{what}. {systemctl.journal(name)}".strip() for name, what in failed.items()},
        "pending": {name: notes[name] for name in units if name in notes},
    }


def haproxy(_module: AnsibleModule) -> dict[str, Any]:
    """Servers that HAProxy has, their addresses, and which of them get no requests."""
    states: dict[tuple[str, str], int] = {}
    addresses: dict[tuple[str, str], str] = {}
    # It does not run, or not yet.
    with contextlib.suppress(OSError):
        states, addresses = Runtime(SOCKET).admin_states(), Runtime(SOCKET).addresses()
    idle = {
        word: ["/".join(server) for server, state in states.items() if state & bit]
        for word, bit in (("drained", DRAINED), ("maintained", MAINTAINED))
    }
    known = {"/".join(server): address for server, address in addresses.items()}
    return {"servers": sorted({name for _backend, name in states}), "addresses": known, **idle}


def days_left(text: str, now: float) -> float:
    """Days until the end that openssl prints; -1 where it prints none."""
    end = printed(text, "notAfter")
    return round((ssl.cert_time_to_seconds(end) - now) / 86400, 1) if end else -1.0


def names(text: str) -> list[str]:
    """Subject alternative names that openssl prints, as they are written in a request."""
    found = re.search(r"Subject Alternative Name:.*\n\s*(.+)", text)
    return [certificate_name(name) for name in found[1].replace("IP Address:", "IP:").split(", ")] if found else []


def packages(_module: AnsibleModule) -> str:
    """Names of the installed packages."""
    return " ".join(installed(DPKG.read_text(errors="replace")) if DPKG.exists() else [])


def links(module: AnsibleModule) -> dict[str, str]:
    """Targets of the links that are there."""
    return {path: os.readlink(path) for path in module.params["links"] if Path(path).is_symlink()}


def open_files(_module: AnsibleModule) -> int:
    """How many files a service can have open at most."""
    capabilities = re.search(r"^CapBnd:\s*([0-9a-f]+)$", (PROC / "1" / "status").read_text(), re.MULTILINE)
    if capabilities and int(capabilities[1], 16) & CAP_SYS_RESOURCE:
        return int((PROC / "sys" / "fs" / "nr_open").read_text())
    limit = re.search(r"^Max open files\s+\d+\s+(\d+)", (PROC / "1" / "limits").read_text(), re.MULTILINE)
    return int(limit[1]) if limit else int((PROC / "sys" / "fs" / "nr_open").read_text())


def text_of(path: str) -> str:
    """Content of a file; empty where it is not there."""
    try:
        return Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return ""


def deployed(module: AnsibleModule) -> dict[str, Any]:
    """Fingerprint of the authority, and digests of the passwords, that an earlier deployment left."""
    lines = [line.split() for line in text_of(module.params["passwords_path"]).splitlines()]
    return {
        "authority": fingerprint(text_of(module.params["ca_path"])),
        "passwords": {words[0]: words[1] for words in lines if len(words) == 2},
    }


PARTS: dict[str, Callable[[AnsibleModule], Any]] = {
    "addresses": addresses,
    "listeners": listeners,
    "database": database,
    "packages": packages,
    "certificates": certificates,
    "links": links,
    "open_files": open_files,
    "services": services,
    "haproxy": haproxy,
    "state": state,
    "deployed": deployed,
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "gather_subset": {"type": "list", "elements": "str", "choices": ["all", *PARTS], "default": ["all"]},
            "datadir": {"type": "path", "default": ""},
            "mysql_socket": {"type": "path", "default": "/run/mysqld/mysqld.sock"},
            "mysql_user": {"type": "str", "default": ""},
            "mysql_password": {"type": "str", "default": "", "no_log": True},
            "certificates": {"type": "list", "elements": "path", "default": []},
            "authority": {"type": "str", "default": ""},
            "links": {"type": "list", "elements": "path", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "state_of": {"type": "list", "elements": "str", "default": []},
            "ca_path": {"type": "path", "default": "/etc/ssl/webstack/ca.pem"},
            "passwords_path": {"type": "path", "default": "/etc/ssl/webstack/passwords"},
        },
        supports_check_mode=True,
    )
    wanted = module.params["gather_subset"]
    try:
        found = {name: gather(module) for name, gather in PARTS.items() if name in wanted or "all" in wanted}
        module.exit_json(changed=False, **found)
    except OSError as error:
        module.fail_json(msg=f"the node cannot be surveyed: {error}; Ansible has to become root on it (become: true).")


if __name__ == "__main__":
    main()
