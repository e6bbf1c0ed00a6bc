"""Its pages."""

import os
from pathlib import Path

import bottle

from shop import RELEASE

UPLOADS = Path("uploads")
app = bottle.Bottle()


@app.get("/")
def home():
    """What runs here."""
    return {"release": RELEASE, "bottle": bottle.__file__, "database": "DATABASE_URL" in os.environ}


@app.post("/uploads/<name:re:[a-z]+>")
def upload(name):
    """Keep what was sent."""
    (UPLOADS / name).write_bytes(bottle.request.body.read())
    return {"kept": name}


@app.get("/uploads/<name:re:[a-z]+>")
def download(name):
    """Give it back."""
    return (UPLOADS / name).read_bytes()
