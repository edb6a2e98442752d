"""The server of the page: one page, one web socket, and who may use them.

It serves this machine alone unless told otherwise; another address takes a token. A page of another site cannot speak
to it: a browser says truthfully where a page comes from (``Origin``) and whom it means to speak to (``Host``).
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from rlx.teaching.classroom import Classroom, Seat, not_written
from rlx.teaching.messages import LONGEST, Bucket, Refused, parse

LOCAL = ("127.0.0.1", "localhost", "[::1]")
MOST_SEATS = 20
RATE, BURST = 60.0, 120.0  # messages a second from one page, and at once
MOST_REFUSED = 500  # messages of one page before it is shown out
POLICY_VIOLATION, TRY_LATER = 1008, 1013


def application(classroom: Classroom, token: str | None = None) -> Starlette:
    """The page and its socket around ``classroom``, whose time runs as long as the server does.

    Args:
        classroom: what is taught.
        token: what ``?token=`` must say; without one only this machine is served.
    """

    async def page(request: Request) -> Response:
        if not admitted(request, token):
            return PlainTextResponse("This page is not for you: open the address that the server printed.", 403)
        nonce = secrets.token_urlsafe(12)
        text = resources.files("rlx.teaching").joinpath("page.html").read_text("utf-8")
        rules = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src blob: data:; "
        headers = {
            "Content-Security-Policy": rules + "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return HTMLResponse(text.replace("NONCE", nonce), headers=headers)

    async def socket(connection: WebSocket) -> None:
        if not admitted(connection, token) or connection.headers.get("origin") != origin_of(connection):
            await connection.close(POLICY_VIOLATION)
        elif len(classroom.seats) >= MOST_SEATS:
            await connection.close(TRY_LATER)
        else:
            await connection.accept()
            await _seated(classroom, connection)

    @contextlib.asynccontextmanager
    async def lifetime(app: Starlette) -> AsyncIterator[None]:
        clock = asyncio.create_task(classroom.run())
        yield
        clock.cancel()
        classroom.recording.close()

    return Starlette(routes=[Route("/", page), WebSocketRoute("/ws", socket)], lifespan=lifetime)


def admitted(connection: HTTPConnection, token: str | None) -> bool:
    """Whether whoever asks may come in: by the token if there is one, else by asking for this machine by its name."""
    if token is not None:
        return secrets.compare_digest(connection.query_params.get("token", "").encode(), token.encode())
    return _name_of(connection.headers.get("host", "")) in LOCAL


def origin_of(connection: HTTPConnection) -> str:
    """Where our own page says that it comes from."""
    secure = connection.url.scheme in ("https", "wss")
    return f"{'https' if secure else 'http'}://{connection.headers.get('host', '')}"


def _name_of(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


async def _seated(classroom: Classroom, connection: WebSocket) -> None:
    """Serve one page until it leaves."""
    seat = classroom.sit()
    writer = asyncio.create_task(_write(seat, connection))
    try:
        await _listen(classroom, seat, connection)
    except (WebSocketDisconnect, RuntimeError):
        pass  # it has gone
    finally:
        classroom.leave(seat)
        writer.cancel()


async def _write(seat: Seat, connection: WebSocket) -> None:
    """Send messages in order, and of frames the newest."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await seat.news.wait()
            seat.news.clear()
            waiting, seat.waiting = seat.waiting, []
            frame, seat.frame = seat.frame, None
            for message in waiting:
                await connection.send_json(message)
            if frame is not None:
                await connection.send_bytes(frame)


async def _listen(classroom: Classroom, seat: Seat, connection: WebSocket) -> None:
    """Take one message after the other; whatever is wrong with one is told to the page, and that is all."""
    bucket, refused = Bucket(RATE, BURST, time.monotonic()), 0
    while refused < MOST_REFUSED:
        received: Any = await connection.receive()
        if received["type"] == "websocket.disconnect":
            return
        try:
            if not bucket.takes(time.monotonic()):
                raise Refused(f"at most {RATE:.0f} messages a second")
            await classroom.hear(seat, parse(received.get("text")))
        except Refused as refusal:
            refused += 1
            seat.tell({"kind": "refused", "reason": str(refusal)[:LONGEST]})
        except OSError as error:
            seat.tell({"kind": "refused", "reason": not_written(error)})
    await connection.close(POLICY_VIOLATION)
