"""What runs at certain times."""

from pathlib import Path

from shop import RELEASE

Path("uploads", "ticked").write_text(RELEASE)
