"""What every request passes: forms must be this site's own, and every answer says what a browser may do with it.

A form carries a token, signed with FLASK_SECRET, that names the visitor's session; the session is a signed cookie that
other sites cannot read. So it holds on every instance, and none has to remember anything.
"""

from __future__ import annotations

import hmac
import secrets
import threading

from flask import Flask, Response, current_app, g, request, session
from itsdangerous import BadData, URLSafeTimedSerializer

from photos.problems import Busy, Forged
from photos.settings import Settings

LONGEST = 24 * 3600
"""Seconds that a page may lie open before its forms are too old."""

FORMS_AT_ONCE = 12
"""Of an instance; fewer than its threads in fairlead.yaml. A form holds a thread while it comes, however slowly it is
sent, and while its picture waits for a turn: the pages and the health check need some that are left."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def csrf_token() -> str:
    """For a form of the page that is being drawn."""
    if "visitor" not in session:
        session["visitor"] = secrets.token_hex(16)
    return str(_signer().dumps(session["visitor"]))


def submission_token() -> str:
    """Tells one filled-in form from the next, so that the same one sent twice is stored once."""
    return secrets.token_hex(16)


def protect(app: Flask, settings: Settings, picture_origin: str) -> None:
    """Check what comes in, mark what goes out. picture_origin: where pictures come from beside this site, or ""."""
    policy = "; ".join(
        (
            "default-src 'none'",
            f"img-src 'self' {picture_origin}".strip(),
            "style-src 'self'",
            "script-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
    app.jinja_env.globals.update(csrf_token=csrf_token, submission_token=submission_token, settings=settings)

    room = threading.BoundedSemaphore(FORMS_AT_ONCE)

    @app.before_request
    def _check() -> None:
        if request.method not in SAFE:
            # Before anything of it is read.
            if not room.acquire(blocking=False):
                raise Busy("This instance takes in as many uploads as it can.")
            g.has_room = True
            _check_token()

    @app.teardown_request
    def _leave(_: BaseException | None) -> None:
        if g.pop("has_room", False):
            room.release()

    @app.after_request
    def _mark(response: Response) -> Response:
        headers = response.headers
        headers["X-Instance"] = settings.instance
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers.setdefault("Content-Security-Policy", policy)
        if request.endpoint != "static":
            headers.setdefault("Cache-Control", "private, no-cache")
        return response


def _check_token() -> None:
    sent = request.headers.get("X-CSRF-Token") or request.form.get("csrf_token", "")
    try:
        visitor = str(_signer().loads(sent, max_age=LONGEST))
    except BadData as problem:
        raise Forged from problem
    if not hmac.compare_digest(visitor.encode(), str(session.get("visitor", "")).encode()):
        raise Forged


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt="photos.form")
