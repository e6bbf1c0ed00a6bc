"""An ASGI application of WebSockets and server-sent events, for as long as a client likes."""

import asyncio
import os
from pathlib import Path

RELEASE = Path(__file__).with_name("RELEASE").read_text().strip()
NAME = f"{os.environ['NODE_NAME']} {RELEASE}"


async def respond(send, content_type, *pieces):
    """An answer of these pieces."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def events(send):
    """The name of the node twice a second, until the client hangs up."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    while True:
        await send({"type": "http.response.body", "body": f"data: {NAME}\n\n".encode(), "more_body": True})
        await asyncio.sleep(0.5)


async def talk(receive, send):
    """The name of the node, and then whatever the client says."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": NAME})
    while (said := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": said["text"]})


async def app(scope, receive, send):
    """What runs here."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    elif scope["type"] == "websocket":
        await talk(receive, send)
    elif scope["path"] == "/events":
        await events(send)
    else:
        await respond(send, b"text/plain", NAME.encode())
