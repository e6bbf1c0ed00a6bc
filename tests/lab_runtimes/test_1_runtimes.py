# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each runtime answers through nginx, closed to others and with what it needs."""

from __future__ import annotations

import hashlib

import pytest
from conftest import ask, nodes, told
from waiting import wait

SECRET = 's3cr$t "%h" \\n'
RUNTIMES = ("wsgi", "asgi", "php", "node", "command")
runtimes = pytest.mark.parametrize("group", RUNTIMES)


@runtimes
def test_it_answers_through_nginx(group):
    for host in nodes(group):
        assert told(host)["release"] == "one"


@runtimes
def test_it_runs_as_its_own_account_in_a_sandbox(group):
    for host in nodes(group):
        shown = host.check_output("systemctl show sample.service --property=User,ProtectSystem,NoNewPrivileges,MainPID")
        unit = dict(line.split("=", 1) for line in shown.splitlines())
        assert (unit["User"], unit["ProtectSystem"], unit["NoNewPrivileges"]) == ("sample", "strict", "yes")
        owners = host.check_output("ps --no-headers -o user --pid %s --ppid %s", unit["MainPID"], unit["MainPID"])
        assert set(owners.split()) == {"sample"}


@runtimes
def test_the_environment_is_whole_and_nobody_else_reads_it(group):
    host = nodes(group)[0]
    file = host.file("/etc/sample.env")
    assert (file.mode, file.user) == (0o600, "root")
    pid = host.check_output("systemctl show --value --property=MainPID sample.service")
    if group == "php":
        # PHP-FPM writes its title over what the kernel shows of its environment.
        assert told(host)["secret"] == hashlib.sha256(SECRET.encode()).hexdigest()
    else:
        environment = host.file(f"/proc/{pid}/environ").content_string.split("\0")
        assert f"SAMPLE_SECRET={SECRET}" in environment
        assert any(line.startswith("DATABASE_URL=mysql://") for line in environment)
    everything = host.check_output("cat /proc/[0-9]*/cmdline /etc/systemd/system/sample* | tr '\\0' ' '")
    assert "s3cr" not in everything
    assert "mysql://" not in everything


@runtimes
def test_the_application_cannot_change_itself(group):
    for host in nodes(group):
        theirs = host.check_output("find /srv/sample/releases/ ! -user root ! -type l")
        assert theirs == ""


def test_the_release_that_one_node_built_is_on_the_other(request):
    first, second = nodes("node")
    assert host_release(first) == host_release(second)
    for host in (first, second):
        assert host.file("/srv/sample/current/node_modules/greeting/index.js").exists
    assert first.package("npm").is_installed
    assert not second.package("npm").is_installed


def host_release(host) -> str:
    """The release that a node runs."""
    return host.check_output("readlink /srv/sample/current")


def test_nodejs_learns_of_the_addresses_of_its_node():
    for host in nodes("node"):
        assert "lo" in told(host)["interfaces"]


class TestPython:
    """The site with a lock, further units and shared directories."""

    def test_its_packages_are_those_of_the_lock_in_its_release(self, wsgi):
        assert told(wsgi)["bottle"].startswith("/srv/sample/")
        installed = wsgi.check_output("/srv/sample/current/.venv/bin/python -m pip list --format=freeze").split()
        assert {"bottle==0.13.4", "shop==1.0"} <= set(installed)
        assert wsgi.file("/srv/sample/current/built-by").content_string == "webstack-build\n"

    def test_what_is_uploaded_outlives_a_release(self, wsgi):
        assert ask(wsgi, "/uploads/photo", "POST", b"picture")[0] == 200
        assert wsgi.file("/srv/sample/shared/uploads/photo").content == b"picture"
        assert wsgi.file("/srv/sample/shared/uploads").mode == 0o2750

    def test_what_works_in_the_background_runs_as_often_as_wanted(self, wsgi):
        for number in (1, 2):
            assert wsgi.service(f"sample-worker-{number}.service").is_running
        assert len(wsgi.check_output("ls /srv/sample/shared/uploads/ | grep ^worker-").split()) >= 2

    def test_what_runs_at_certain_times_ran(self, wsgi):
        ticked = wsgi.file("/srv/sample/shared/uploads/ticked")
        wait("the timer", lambda: ticked.exists)
        assert ticked.content_string == "one"

    def test_hooks_ran_once_at_their_stages_as_the_application(self, wsgi):
        assert wsgi.file("/srv/sample/shared/uploads/hooks").content_string.splitlines() == [
            "place sample", "migrate told", "switch",
        ]  # fmt: skip

    def test_its_memory_is_limited(self, wsgi):
        limit = wsgi.check_output("systemctl show --value --property=MemoryMax sample.service sample-worker-1.service")
        assert limit.split() == ["536870912", "536870912"]


class TestPhp:
    """The site under PHP-FPM."""

    def test_it_asks_its_database_and_has_its_settings(self, php):
        first, second = told(php, "/a?b=c"), told(php, "/no/such/file")
        assert second["visits"] == first["visits"] + 1
        assert (first["path"], first["memory"]) == ("/a?b=c", "96M")

    def test_it_knows_whether_the_client_came_by_https(self, php):
        assert told(php)["https"] == ""
        assert told(php, **{"X-Forwarded-Proto": "https"})["https"] == "on"

    def test_nginx_serves_files_and_passes_scripts(self, php):
        assert ask(php, "/site.css") == (200, b"body { color: black }\n")
        assert ask(php, "/other.php") == (200, b"another script")
        assert ask(php, "/none.php")[0] == 404

    def test_what_is_beside_the_document_root_is_nobodys(self, php):
        for path in ("/../database.php", "/%2e%2e/database.php", "/migrate.php", "/.env"):
            assert ask(php, path)[0] in (400, 404)
        php.check_output("install -o sample -m 0644 /dev/null /srv/sample/shared/public/uploads/.hidden")
        assert ask(php, "/uploads/none")[0] == 404

    @pytest.mark.parametrize("name", ["evil.php", "evil.PHP", "evil.phtml", "evil.phar", "evil.php5"])
    def test_what_is_uploaded_is_no_program(self, php, name):
        where = f"/srv/sample/shared/public/uploads/{name}"
        php.check_output("runuser -u sample -- sh -c %s", f"echo '<?php echo \"ran\";' >{where}")
        for path in (f"/uploads/{name}", f"/uploads/{name}/x", f"/index.php/../uploads/{name}", f"//uploads/{name}"):
            status, body = ask(php, path)
            assert (status, b"<?php" in body, body == b"ran") == (404, False, False), path

    def test_what_is_uploaded_is_served(self, php):
        php.check_output("runuser -u sample -- sh -c 'echo photo >/srv/sample/shared/public/uploads/photo.txt'")
        assert ask(php, "/uploads/photo.txt") == (200, b"photo\n")

    def test_the_pool_of_the_distribution_does_not_start(self, php):
        php.check_output("systemctl start php8.4-fpm.service")
        assert not php.service("php8.4-fpm.service").is_running
