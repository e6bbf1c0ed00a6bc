"""A sample of an ASGI application on the packages of the distribution."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

RELEASE = Path(__file__).with_name("RELEASE").read_text().strip()


async def home(_request):
    """What runs here."""
    return JSONResponse({"release": RELEASE})


app = Starlette(routes=[Route("/", home)])
