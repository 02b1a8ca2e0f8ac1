"""A photo album on the web: upload, gallery, labels, delete. Rows in a database, pictures in a bucket, nothing here.

`create_app` is what `app:` in fairlead.yaml names. Any number of instances may run it at once: none keeps anything of
its own, and what must happen once (`photos.migrate`) happens before the first of them takes traffic.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface

from photos import guard, pages, problems
from photos.album import Album
from photos.bucket import Bucket
from photos.catalogue import Catalogue
from photos.labels import detector_of
from photos.settings import Settings

LARGEST_UPLOAD = 20 * 1024 * 1024
"""Bytes of a whole request; anything longer is refused before it is read."""


class _Sessions(SecureCookieSessionInterface):
    """A cookie that came by HTTPS goes by HTTPS only."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


def create_app(environment: Mapping[str, str] = os.environ) -> Flask:
    """The app; it connects to nothing yet. SettingsError, in a sentence, when a variable is missing or cannot be."""
    settings = Settings.read(environment)
    app = Flask(__name__)
    app.session_interface = _Sessions()
    app.config.update(
        SECRET_KEY=settings.flask_secret,
        MAX_CONTENT_LENGTH=LARGEST_UPLOAD,
        MAX_FORM_MEMORY_SIZE=64 * 1024,
        MAX_FORM_PARTS=10,
        SESSION_COOKIE_NAME="photos",
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(days=7),
        SEND_FILE_MAX_AGE_DEFAULT=3600,
    )
    album = Album(Catalogue(settings.database), Bucket(settings.bucket), detector_of(settings))
    app.extensions["album"] = album
    app.extensions["settings"] = settings
    guard.protect(app, settings, album.bucket.public_origin)
    problems.explain(app)
    app.register_blueprint(pages.pages)
    return app
