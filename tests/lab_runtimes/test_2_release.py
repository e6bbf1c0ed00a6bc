# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new release loses no request where a socket waits, and everything of the application is of that release."""

from __future__ import annotations

import shutil
from contextlib import ExitStack

import pytest
from client import Client
from conftest import TOP, address, converge, nodes, told
from waiting import wait

# uvicorn closes idle connections of nginx while it ends, and a request may just be on its way on one.
GRACEFUL = ("wsgi", "php")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The second release of every sample, under load; returns the clients."""
    samples = tmp_path_factory.mktemp("samples") / "samples"
    shutil.copytree(TOP / "tests" / "lab_runtimes" / "samples", samples)
    for file in samples.glob("*/RELEASE"):
        file.write_text("two\n")
    (samples / "wsgi" / "shop" / "__init__.py").write_text('RELEASE = "two"\n')
    with ExitStack() as stack:
        clients = {
            group: stack.enter_context(Client(f"https://{address(nodes(group)[0])}:8080", rate=30, paths=("/",)))
            for group in GRACEFUL
        }
        # One instance less of what works in the background.
        again = converge(runtimes_samples=str(samples), runtimes_workers=1)
    assert again.returncode == 0, again.stdout[-3000:]
    return clients


@pytest.mark.parametrize("group", GRACEFUL)
def test_no_request_is_lost(released, group):
    assert released[group].total > 100
    assert released[group].failures == []


@pytest.mark.parametrize("group", ["wsgi", "asgi", "php", "node", "command"])
def test_every_node_runs_it(released, group):
    for host in nodes(group):
        wait("the second release", lambda host=host: told(host)["release"] == "two")


def test_what_works_in_the_background_is_of_the_new_release(released, wsgi):
    pid = wsgi.check_output("systemctl show --value --property=MainPID sample-worker.service")
    file = wsgi.file(f"/srv/sample/shared/uploads/worker-{pid}")
    wait("the worker", lambda: file.exists and file.content_string == "two")


def test_what_is_no_longer_wanted_is_gone(released, wsgi):
    assert wsgi.check_output("ls /etc/systemd/system/ | grep worker").split() == ["sample-worker.service"]
    assert not wsgi.service("sample-worker-1.service").is_running


def test_what_runs_at_certain_times_is_of_the_new_release(released, wsgi):
    wait("the timer", lambda: wsgi.file("/srv/sample/shared/uploads/ticked").content_string == "two")


def test_what_was_uploaded_is_still_there(released, wsgi):
    assert wsgi.file("/srv/sample/shared/uploads/photo").content == b"picture"
