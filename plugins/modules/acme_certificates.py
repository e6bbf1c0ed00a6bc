#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Order and deploy certificates of an ACME authority with certbot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: acme_certificates
short_description: Order and deploy certificates of an ACME authority with certbot
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Orders those certificates that the node does not have yet, or that were ordered for other host names or in another
    way, and deploys those that are not deployed. For all others no request is sent to the authority.
  - certbot answers the challenges itself (HTTP-01), on an address and a port of the node, and keeps both for renewals.
  - Renewing is left to C(certbot.timer), which runs the same program for each renewed certificate.
  - An order that the authority refuses for its nonce is repeated, because that is no fault of the order.
  - A failure leaves what was deployed as it was.
options:
  certificates:
    description: Certificates that the node is to have.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the certificate in certbot, and without C(.pem) that of its file in O(bundles).
        type: str
        required: true
      domains:
        description: Host names that it is to be valid for.
        type: list
        elements: str
        required: true
  directory_url:
    description: Directory of the authority.
    type: str
    required: true
  terms_agreed:
    description: Whether the authority's terms of service are agreed to, without which there is no account.
    type: bool
    required: true
  email:
    description: Address of the account that is made with the first order; none if empty.
    type: str
    default: ""
  ca_bundle:
    description: >-
      PEM file on the node with the authorities by which O(directory_url) is verified; those of the system if empty.
    type: path
    default: ""
  key_type:
    description: Type of the keys.
    type: str
    default: ecdsa
    choices: [ecdsa, rsa]
  address:
    description: Address of the node on which challenges are answered.
    type: str
    required: true
  port:
    description: Port on which challenges are answered.
    type: int
    required: true
  deploy:
    description: >-
      Program that deploys a certificate, which it finds in the directory that C(RENEWED_LINEAGE) names, as certbot runs
      its hooks.
    type: path
    required: true
  bundles:
    description: Directory in which O(deploy) leaves C(<name>.pem), the key and then the certificates.
    type: path
    required: true
attributes:
  check_mode:
    description: Reports what would be ordered, and sends nothing to the authority.
    support: full
  diff_mode:
    description: Shows the host names of each certificate before and after.
    support: full
"""

EXAMPLES = r"""
- name: Order the certificates of the sites
  pentad.webstack.acme_certificates:
    certificates:
      - name: site
        domains: [www.example.com, example.com]
    directory_url: https://acme-v02.api.letsencrypt.org/directory
    terms_agreed: true
    address: 192.0.2.11
    port: 8402
    deploy: /etc/letsencrypt/renewal-hooks/deploy/haproxy
    bundles: /etc/haproxy/certificates
"""

RETURN = r"""
ordered:
  description: Why each of the certificates was ordered, by name.
  returned: always
  type: dict
  sample: {site: there is none yet}
deployed:
  description: Names of the certificates that were deployed.
  returned: always
  type: list
  elements: str
  sample: [site]
"""

import re
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

CERTBOT = Path("/etc/letsencrypt")
LOG = "/var/log/letsencrypt/letsencrypt.log"
TRIES = 5


class Refused(Exception):
    """The authority or the deploying program refused; the text says why."""


class Certbot:
    """The certbot of this node, and its files."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params

    def live(self, name: str) -> Path:
        """Directory of a certificate in certbot."""
        return CERTBOT / "live" / name

    def settings(self, name: str) -> dict[str, str]:
        """How a certificate was ordered; empty if it was not."""
        path = CERTBOT / "renewal" / f"{name}.conf"
        return pairs(path.read_text()) if path.exists() else {}

    def names(self, name: str) -> list[str]:
        """Host names that a certificate is valid for; none where there is no certificate."""
        path = self.live(name) / "cert.pem"
        if not path.exists():
            return []
        command = ["openssl", "x509", "-in", str(path), "-noout", "-ext", "subjectAltName"]
        return sorted(re.findall(r"DNS:([^\s,]+)", self.module.run_command(command)[1]))

    def wanted_settings(self) -> dict[str, str]:
        """How certificates are to be ordered, in the words of certbot's configuration."""
        return {
            "authenticator": "standalone",
            "server": self.params["directory_url"],
            "key_type": self.params["key_type"],
            "http01_address": self.params["address"],
            "http01_port": str(self.params["port"]),
        }

    def reason(self, certificate: dict[str, Any]) -> str:
        """Why a certificate has to be ordered; empty if it has not."""
        settings, names = self.settings(certificate["name"]), self.names(certificate["name"])
        if not settings or not names:
            return "there is none yet"
        if names != sorted(certificate["domains"]):
            return f"it is for {', '.join(names)}"
        differing = [key for key, value in self.wanted_settings().items() if settings.get(key) != value]
        return f"it was ordered with another {', '.join(differing)}" if differing else ""

    def order(self, certificate: dict[str, Any]) -> None:
        """Order one certificate."""
        if not self.params["terms_agreed"]:
            raise Refused(
                f"{self.params['directory_url']} gives an account only to those who agree to its terms of service: "
                "read them, and set terms_agreed to true."
            )
        command = [
            "certbot", "certonly", "--non-interactive", "--standalone", "--renew-with-new-domains", "--force-renewal",
            # The deploying program runs afterwards, so that its failure is noticed.
            "--no-directory-hooks",
            "--cert-name", certificate["name"],
            "--server", self.params["directory_url"],
            "--key-type", self.params["key_type"],
            "--http-01-address", self.params["address"],
            "--http-01-port", str(self.params["port"]),
            "--agree-tos",
            *(["--email", self.params["email"]] if self.params["email"] else ["--register-unsafely-without-email"]),
        ]  # fmt: skip
        for domain in certificate["domains"]:
            command += ["--domain", domain]
        bundle = self.params["ca_bundle"]
        environment = {"REQUESTS_CA_BUNDLE": bundle} if bundle else {}
        for left in reversed(range(TRIES)):
            code, out, err = self.module.run_command(command, environ_update=environment)
            if code == 0:
                return
            said = complaint(f"{out}\n{err}")
            if left == 0 or "nonce" not in said.lower():
                raise Refused(
                    f"{self.params['directory_url']} issues no certificate for {', '.join(certificate['domains'])} and "
                    f"what was deployed stays: {said}. The names have to lead to the balancers, and their port 80 has "
                    f"to be open for the authority; see {LOG} on the node."
                )

    def deployed(self, name: str) -> bool:
        """Whether the deployed file is the certificate that certbot has."""
        path = Path(self.params["bundles"]) / f"{name}.pem"
        parts = [self.live(name) / part for part in ("privkey.pem", "fullchain.pem")]
        return path.exists() and path.read_bytes() == b"".join(part.read_bytes() for part in parts)

    def deploy(self, name: str) -> None:
        """Deploy one certificate."""
        environment = {"RENEWED_LINEAGE": str(self.live(name))}
        code, out, err = self.module.run_command([self.params["deploy"]], environ_update=environment)
        if code or not self.deployed(name):
            said = (err or out).strip() or "it has not written the file, and gives no reason"
            raise Refused(f"certificate {name} is not deployed by {self.params['deploy']}: {said}")


def pairs(text: str) -> dict[str, str]:
    """Settings in a file of certbot's."""
    return dict(re.findall(r"^(\w+) = (.*)$", text, re.MULTILINE))


def complaint(said: str) -> str:
    """The part of certbot's output that says what is wrong, in one line."""
    beginnings = r"reported these problems:|An unexpected error occurred:|^Error:"
    found = re.search(rf"(?:{beginnings})(.+?)(?:\nHint:|\nAsk for help|\Z)", said, re.DOTALL | re.MULTILINE)
    lines = [line for line in (found[1] if found else said).splitlines() if not line.startswith("Saving debug log")]
    return " ".join(" ".join(lines).split()).rstrip(".")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "certificates": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "domains": {"type": "list", "elements": "str", "required": True},
                },
            },
            "directory_url": {"type": "str", "required": True},
            "terms_agreed": {"type": "bool", "required": True},
            "email": {"type": "str", "default": ""},
            "ca_bundle": {"type": "path", "default": ""},
            "key_type": {"type": "str", "default": "ecdsa", "choices": ["ecdsa", "rsa"], "no_log": False},
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "deploy": {"type": "path", "required": True},
            "bundles": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    certbot = Certbot(module)
    ordered: dict[str, str] = {}
    deployed: list[str] = []
    diff: list[dict[str, str]] = []
    wrong: list[str] = []
    for certificate in module.params["certificates"]:
        name, reason = certificate["name"], certbot.reason(certificate)
        before = certbot.names(name)
        try:
            if reason:
                if not module.check_mode:
                    certbot.order(certificate)
                ordered[name] = reason
                diff.append(
                    {
                        "before_header": f"certificate {name}",
                        "after_header": f"certificate {name}",
                        "before": "".join(f"{each}\n" for each in before),
                        "after": "".join(f"{each}\n" for each in sorted(certificate["domains"])),
                    }
                )
            if reason or not certbot.deployed(name):
                if not module.check_mode:
                    certbot.deploy(name)
                deployed.append(name)
        except Refused as refused:
            wrong.append(str(refused))
    result = {"changed": bool(ordered or deployed), "ordered": ordered, "deployed": deployed, "diff": diff}
    if wrong:
        module.fail_json(msg="\n".join(wrong), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
