# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application needs is asked for before anything is changed, each time by variable, value and fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.plugin_utils.application_contract import application_problems

HERE = str(Path(__file__).parent)
DEFAULTS = {
    "webstack_app_name": "shop",
    "webstack_app_runtime": "python",
    "webstack_app_listen": "inherited",
    "webstack_app_socket": "/run/shop.sock",
    "webstack_app_docroot": "",
    "webstack_app_front_controller": "index.php",
    "webstack_app_shared_directories": [],
    "app_server_source": "",
    "app_server_source_type": "directory",
    "app_server_wsgi": "",
}
NODE = {"webstack_app_runtime": "node", "app_server_command": ["node", "server.js"], "webstack_app_listen": "port"}
GIT = {"app_server_source_type": "git", "app_server_source": "https://u:pw@example.com/a.git"}
ARCHIVE = {"app_server_source_type": "archive", "app_server_source": "https://u:pw@example.com/a.zip"}
PACKAGE = {"app_server_source_type": "package", "app_server_source": "wordpress"}
SUM = "sha256:" + "0" * 64


def problems(**given: Any) -> list[str]:
    """What is wrong when these variables are set, besides the source and, of Python, the entry point of WSGI."""
    wsgi = {} if given.keys() & {"webstack_app_runtime", "webstack_app_asgi"} else {"app_server_wsgi": "shop.wsgi:app"}
    given = {"app_server_source": HERE, **wsgi, **given}
    return list(application_problems({**DEFAULTS, **given}.get, given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"webstack_app_asgi": "pages:app"},
        {"app_server_wsgi": "shop.factory:make(debug=False)", "app_server_lock": "requirements.lock"},
        NODE,
        {**NODE, "webstack_app_listen": "socket", "webstack_app_socket": "/run/shop/http.sock"},
        {"webstack_app_runtime": "php", "app_server_php_settings": {"memory_limit": "1G"}},
        {**GIT, "app_server_version": "v1", "app_server_submodules": True},
        {
            **GIT,
            "app_server_source": "git@example.com:a.git",
            "app_server_version": "v1",
            "app_server_ssh_key": __file__,
        },
        {**ARCHIVE, "app_server_checksum": SUM},
        {**ARCHIVE, "app_server_source": __file__},
        {"webstack_app_shared_directories": ["uploads", "uploads2", "var/cache"]},
        {**PACKAGE, "app_server_version": "1:6.8.1+dfsg1-1~deb13u1", "webstack_app_docroot": "/usr/share/wordpress"},
        {"app_server_files": {"/etc/shop/settings.py": "DEBUG = False"}},
        {"app_server_background": [{"name": "a"}], "app_server_timers": [{"name": "b"}]},
    ],
)
def test_what_fits_together_is_accepted(given):
    assert problems(**given) == []


REFUSED = {
    "no directory": ({"app_server_source": "/nowhere"}, "app_server_source = '/nowhere' is not a directory"),
    "no archive": (
        {"app_server_source_type": "archive", "app_server_source": "/nowhere.zip"},
        "app_server_source = '/nowhere.zip' is not a file on the control node",
    ),
    "no checksum": (ARCHIVE, "app_server_checksum is not set for app_server_source = 'https://example.com/a.zip'"),
    "odd checksum": ({**ARCHIVE, "app_server_checksum": "md5:1"}, "app_server_checksum = 'md5:1' is none"),
    "plain http": (
        {**ARCHIVE, "app_server_source": "http://u:pw@example.com/a.zip", "app_server_checksum": SUM},
        "app_server_source = 'http://example.com/a.zip' is not an https URL",
    ),
    "no version": (
        GIT,
        "app_server_version is not set for the repository app_server_source = 'https://example.com/a.git'",
    ),
    "no repository": (
        {**GIT, "app_server_source": "/nowhere/repo", "app_server_version": "v1"},
        "app_server_source = '/nowhere/repo' is not a directory",
    ),
    "no key": (
        {**GIT, "app_server_version": "v1", "app_server_ssh_key": "/nowhere/key"},
        "app_server_ssh_key = '/nowhere/key' is not a file",
    ),
    "version of a directory": (
        {"app_server_version": "v1"},
        "app_server_version = 'v1' is of app_server_source_type = 'git'",
    ),
    "checksum of a repository": (
        {**GIT, "app_server_version": "v1", "app_server_checksum": SUM},
        f"app_server_checksum = '{SUM}' is of app_server_source_type = 'archive' and that is 'git'",
    ),
    "name of a file": (
        {**PACKAGE, "app_server_source": "./wordpress.deb"},
        "app_server_source = './wordpress.deb' is no name of a package",
    ),
    "version of no package": (
        {**PACKAGE, "app_server_version": "v6 "},
        "app_server_version = 'v6 ' is no version of a package",
    ),
    "absolute document root": (
        {"webstack_app_runtime": "php", "webstack_app_docroot": "/usr/share/wordpress"},
        "webstack_app_docroot = '/usr/share/wordpress' is no path inside of the release",
    ),
    "outside of what is installed": (
        {**PACKAGE, "webstack_app_docroot": "/usr/../root"},
        "webstack_app_docroot = '/usr/../root' is no path inside of the release",
    ),
    "file of a program": (
        {"app_server_files": {"/usr/lib/shop/a.py": ""}},
        "app_server_files has '/usr/lib/shop/a.py', which is no file of an application",
    ),
    "file of the system": ({"app_server_files": {"/etc/passwd": ""}}, "app_server_files has '/etc/passwd'"),
    "file outside": ({"app_server_files": {"/etc/shop/../passwd": ""}}, "app_server_files has '/etc/shop/../passwd'"),
    "no command": (
        {**NODE, "app_server_command": []},
        "app_server_command is not set, which webstack_app_runtime = 'node'",
    ),
    "command of python": (
        {"app_server_command": ["a"]},
        "app_server_command = ['a'] is of webstack_app_runtime = 'node' or 'command' and that is 'python'",
    ),
    "two entry points": (
        {"app_server_wsgi": "a:b", "webstack_app_asgi": "c:d"},
        "app_server_wsgi = 'a:b' and webstack_app_asgi = 'c:d' are both set",
    ),
    "two lists": (
        {"app_server_requirements": "a.txt", "app_server_lock": "b.txt"},
        "app_server_requirements = 'a.txt' and app_server_lock = 'b.txt' are both set",
    ),
    "no entry point": ({"app_server_wsgi": "app.py"}, "app_server_wsgi = 'app.py' is no entry point"),
    "lock of node": ({**NODE, "app_server_lock": "l"}, "app_server_lock = 'l' is of webstack_app_runtime = 'python'"),
    "php on a port": (
        {"webstack_app_runtime": "php", "webstack_app_listen": "port"},
        "webstack_app_listen = 'port' is not for webstack_app_runtime = 'php'",
    ),
    "socket elsewhere": (
        {**NODE, "webstack_app_listen": "socket", "webstack_app_socket": "/tmp/s"},
        "webstack_app_socket = '/tmp/s' is where the application cannot listen: use a path below /run/shop/",
    ),
    "unit name": ({"app_server_background": [{"name": "a b"}]}, "'a b' cannot name a unit"),
    "unit twice": (
        {"app_server_background": [{"name": "a"}], "app_server_timers": [{"name": "a"}]},
        "app_server_background and app_server_timers have 'a' 2 times",
    ),
    "absolute": ({"webstack_app_shared_directories": ["/srv"]}, "webstack_app_shared_directories = '/srv' is no path"),
    "outside": ({"webstack_app_docroot": "../x"}, "webstack_app_docroot = '../x' is no path inside of the release"),
    "slash": ({"webstack_app_shared_directories": ["a/"]}, "webstack_app_shared_directories = 'a/' is no path"),
    "one in another": (
        {"webstack_app_shared_directories": ["a", "a/b"]},
        "webstack_app_shared_directories has 'a/b' in another one",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_is_told(case):
    given, said = REFUSED[case]
    (found,) = problems(**given)
    assert said in found
    assert "pw" not in found
    assert found.endswith((".", "/"))


NO_SOURCE = (
    "app_server_source is not set, so that there is nothing to deploy: name the application's directory on the control "
    "node, or, with app_server_source_type, its archive, repository or package."
)
NO_ENTRY = (
    "app_server_wsgi is not set, which webstack_app_runtime = 'python' needs: name the entry point, as in "
    "shop.wsgi:application, or that of ASGI in webstack_app_asgi."
)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, [NO_SOURCE, NO_ENTRY]),
        ({"app_server_source_type": "git", "app_server_source": " ", "app_server_wsgi": "shop.wsgi:app"}, [NO_SOURCE]),
        ({"app_server_source": HERE}, [NO_ENTRY]),
        ({"app_server_source": HERE, "webstack_app_asgi": "shop.asgi:app"}, []),
        (NODE, [NO_SOURCE]),
    ],
)
def test_there_is_no_application_but_the_one_that_was_named(given, told):
    assert list(application_problems({**DEFAULTS, **given}.get, given)) == told


def test_the_example_of_production_names_the_demonstration_as_the_lab_does(top):
    lab, example = (
        yaml.safe_load((top / "inventories" / path).read_text())
        for path in ("lab/group_vars/all/demonstration.yml", "production.example/group_vars/all/main.yml")
    )
    names = {"app_server_source", "app_server_wsgi", "app_server_migrate", "webstack_app_packages"}
    assert {name: example[name] for name in names} == {name: lab[name] for name in names}
    demonstration = Path(example["app_server_source"].replace("{{ playbook_dir }}", str(top / "playbooks")))
    assert (demonstration / "guestbook" / "wsgi.py").is_file()
    given = {**example, "app_server_source": str(demonstration)}
    assert list(application_problems({**DEFAULTS, **given}.get, given)) == []
