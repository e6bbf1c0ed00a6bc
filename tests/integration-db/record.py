"""Records the rows of a healthy pair of each engine for the unit tests.

Usage: python record.py <folder>; the servers of the integration tests are used.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from pathlib import Path

import lab
from conftest import BASE, Pair, both


def plain(value):
    return float(value) if isinstance(value, Decimal) else str(value)


def main(folder: Path) -> None:
    lab.prepare()
    for engine in BASE:
        pair = Pair(engine)
        pair.healthy()
        deadline = time.monotonic() + 10
        while True:
            result = both(pair, return_raw=True)
            assert result["verdict"] == "ok", result["summary"]
            # A server counts whole seconds, and so may say 1 of what took none.
            if result["channels"][0]["lag"]["seconds_behind_raw"] == 0 or time.monotonic() > deadline:
                break
        rows = {"replica": result["raw"]["local"], "primary": result["raw"]["primary"]}
        text = json.dumps(rows, indent=1, sort_keys=True, default=plain)
        (folder / f"{engine}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
