# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user at the terminal of a control node, and the nodes as their administrator sees them."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time

import pytest
from nodes import Run
from places import TOP

SUFFIX = os.environ.get("WEBSTACK_LAB_SUFFIX", "")
NET = os.environ.get("WEBSTACK_PRODUCTION_NET", "172.30.86")
PASSWORD = TOP / ".cache" / "lab-access" / "password"
NODES = ("lb1", "web1", "web2", "db1", "db2")
# What a terminal remembers between two commands.
PRELUDE = 'cd; [ ! -e ~/ansible/bin/activate ] || . ~/ansible/bin/activate; export EDITOR="sed -i s/192.0.2./{net}./"; '


def terminal(command: str, seconds: float = 1200) -> Run:
    """What alice sees of a command; asked for a password, she types that of her account on the nodes."""
    words = ["docker", "exec", "-it", "--user", "alice", "--env", "PIP_CERT=/etc/ssl/host.crt", "--env", "NO_COLOR=1"]
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*words, f"control{SUFFIX}", "bash", "-c", PRELUDE.format(net=NET) + command],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    ) as shell:  # fmt: skip
        os.close(slave)
        output = watched(master, seconds)
    os.close(master)
    return Run(shell.returncode, output)


def watched(master: int, seconds: float) -> str:
    """Everything that is shown until the end; answers the question for the password once."""
    shown, asked, deadline = b"", False, time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        shown += piece
        if not asked and re.search(rb"password: ?$", shown):
            asked = True
            os.write(master, PASSWORD.read_bytes().strip() + b"\n")
    else:
        pytest.fail(f"not at its end after {seconds:.0f} s: {shown[-2000:].decode(errors='replace')}")
    return shown.decode(errors="replace").replace("\r\n", "\n")


def on(node: str, command: str) -> str:
    """Output of a shell command of root on a node; it must succeed."""
    done = subprocess.run(
        ["docker", "exec", f"p{node}{SUFFIX}", "sh", "-c", command],
        text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{node}: {command}: {done.stderr or done.stdout}"
    return done.stdout.strip()


def readme(heading: str) -> list[str]:
    """Commands of the first block below a heading of README.md."""
    section = (TOP / "README.md").read_text().split(f"\n## {heading}\n", 1)[1]
    return section.split("```\n", 2)[1].splitlines()
