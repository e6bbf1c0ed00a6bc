# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""README.md, "On your own machines", word for word, by an ordinary account. In the order of the file."""

from __future__ import annotations

import threading

import pytest
from conftest import NET, NODES, on, readme, terminal
from nodes import Run

COMMANDS = readme("On your own machines")
# Here is no Galaxy to ask; what the collection depends on comes with the package "ansible".
INSTALL = "ansible-galaxy collection install pentad.webstack"
TARBALL = "ansible-galaxy collection install --no-deps pentad-webstack.tar.gz"
SITE = "ansible-playbook -i my-site -K pentad.webstack.site"
ASK = f"curl --silent --show-error --fail --max-time 10 --cacert my-site/.webstack/pki/ca.pem \
  --resolve www.example.com:443:{NET}.11 https://www.example.com"
STATE = """dpkg-query --show | sha256sum
find /etc /srv /usr/local -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"""


def well(said: Run) -> Run:
    """A command that has to succeed."""
    assert said.code == 0, said.output[-4000:]
    return said


def warnings(said: Run) -> list[str]:
    """What Ansible warns of; that nobody waits for a rollout is none."""
    lines = [line for line in said.output.splitlines() if "[WARNING]" in line or "DEPRECAT" in line]
    return [line for line in lines if "Could not match supplied host pattern, ignoring: webstack_" not in line]


def test_the_page_ends_in_a_deployment() -> None:
    assert COMMANDS[-2:] == [f"{SITE} --check --diff", SITE]
    assert INSTALL in COMMANDS


@pytest.mark.parametrize("command", COMMANDS[:-2])
def test_preparations(command: str) -> None:
    well(terminal(command.replace(INSTALL, TARBALL)))


def test_the_operator_is_nobody_special_and_uses_the_newest_ansible() -> None:
    assert terminal("sudo -n true").code != 0
    assert "[core 2.21." in well(terminal("ansible --version")).output


def test_check_mode_shows_what_would_be_done_and_does_nothing() -> None:
    before = {node: on(node, STATE) for node in NODES}
    said = well(terminal(COMMANDS[-2]))
    assert "Would install" in said.output
    assert {node: on(node, STATE) for node in NODES} == before


def test_the_site_is_deployed_and_proven() -> None:
    said = well(terminal(COMMANDS[-1]))
    assert "mariadb" not in said.output.split("PLAY RECAP")[-1]
    assert warnings(said) == []
    assert all(said.changed[node] > 0 for node in NODES)
    assert "Guestbook" in well(terminal(f"{ASK}/")).output
    assert on("db1", "mariadb --version").count("10.11.") == 1


def test_a_second_run_changes_nothing() -> None:
    said = well(terminal(SITE))
    assert said.changed == dict.fromkeys(NODES, 0), said.output[-4000:]


def test_the_proof_alone() -> None:
    said = well(terminal(SITE.replace("site", "verify").replace("my-verify", "my-site")))
    assert "all 14 scrape targets are up" in said.output


def test_a_release_loses_no_request() -> None:
    demonstration = "~/.ansible/collections/ansible_collections/pentad/webstack/demo/guestbook"
    well(terminal(f"cp -r {demonstration} application && echo '/* v2 */' >>application/static/guestbook.css"))
    over, failed = threading.Event(), []

    def ask() -> None:
        while not over.is_set():
            answer = terminal(f"for each in $(seq 20); do {ASK}/ --output /dev/null || echo failed; done", 300)
            if "failed" in answer.output:
                failed.append(answer.output)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        said = well(
            terminal("ansible-playbook -i my-site -K pentad.webstack.deploy -e app_server_source=$HOME/application")
        )
    finally:
        over.set()
        asking.join(300)
    assert failed == []
    assert {node for node, count in said.changed.items() if count} == {"web1", "web2"}
    shown = {well(terminal(f"{ASK}/static/guestbook.css")).output.rstrip().splitlines()[-1] for _turn in range(4)}
    assert shown == {"/* v2 */"}
