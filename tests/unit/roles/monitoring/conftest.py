# SPDX-License-Identifier: GPL-3.0-or-later
"""promtool, the series of a healthy installation, and the files as Ansible renders them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from monitoring_series import INTERVAL, RULES, Alert, Expect, Promtool, Series


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Run promtool; without it the rules are untested, which is a failure and no reason to skip."""
    program = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if program is None:
        pytest.fail("promtool is missing: install the package promtool (or prometheus), or set PROMTOOL to its path.")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        # It lives for a moment: collecting garbage is a fifth of its time.
        environment = {**os.environ, "GOGC": "off"}
        command = [program, *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def expect(promtool: Promtool, tmp_path: Path) -> Expect:
    """Check that with these series exactly these alerts C((name, instance)) fire at these times, and no other."""

    def check(series: Series, at: str, alerts: set[Alert], interval: int = INTERVAL) -> None:
        samples = []
        for name, instance in sorted(alerts):
            labels = f'alertname="{name}"' + (f', instance="{instance}"' if instance else "")
            samples.append({"labels": "{" + labels + "}", "value": 1})
        test = {
            "rule_files": [str(rule) for rule in RULES],
            "evaluation_interval": f"{interval}s",
            "tests": [
                {
                    "interval": f"{interval}s",
                    "input_series": [{"series": name, "values": values} for name, values in series.items()],
                    "promql_expr_test": [
                        {
                            "expr": 'group by (alertname, instance) (ALERTS{alertstate="firing"})',
                            "eval_time": time,
                            "exp_samples": samples,
                        }
                        for time in at.split()
                    ],
                }
            ],
        }
        path = tmp_path / "test.yml"
        path.write_text(json.dumps(test))
        result = promtool("test", "rules", path)
        assert result.returncode == 0, result.stdout + result.stderr

    return check
