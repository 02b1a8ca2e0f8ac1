"""The pages: gallery, one photo, upload, delete, and the pictures themselves.

Everything works without JavaScript: forms answer with a redirect, so that loading a page again sends nothing twice. A
program that asks for JSON (`Accept: application/json`) gets it from the same routes.
"""

from __future__ import annotations

import re
from typing import cast
from uuid import UUID

from flask import (
    Blueprint,
    Response,
    current_app,
    flash,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from photos.album import Album
from photos.catalogue import Photo
from photos.problems import BadRequest, Missing, wants_json

PER_PAGE = 24
LABELS_SHOWN = 16

pages = Blueprint("pages", __name__)


@pages.get("/")
def gallery() -> str:
    album = _album()
    label = request.args.get("label", "")[:100].replace("\0", "")
    page = album.catalogue.page(PER_PAGE, before=_number("before"), after=_number("after"), label=label)
    return render_template(
        "gallery.html",
        page=page,
        label=label,
        count=album.catalogue.count(),
        names=album.catalogue.names(LABELS_SHOWN),
        bucket_answers=album.bucket.answers(),
        detector=album.detector.name,
    )


@pages.post("/photos")
def upload() -> AnyResponse:
    sent = request.files.get("photo")
    submission = request.form.get("submission", "")
    if sent is None or not sent.filename:
        raise BadRequest("No picture came with the form.")
    if not re.fullmatch(r"[0-9a-f]{32}", submission):
        raise BadRequest("The form came without its number.", "Load the gallery again, and send its form.")
    photo, is_new = _album().upload(
        sent.read(),
        title=request.form.get("title", ""),
        submission=submission,
        instance=current_app.extensions["settings"].instance,
    )
    if wants_json():
        return make_response(_as_json(photo), 201 if is_new else 200)
    flash("Stored." if is_new else "This photo was stored already; it is not stored twice.")
    return redirect(url_for(".photo", id=photo.id), 303)


@pages.get("/photos/<uuid:id>")
def photo(id: UUID) -> AnyResponse:
    album = _album()
    found = album.catalogue.find(str(id))
    if found is None:
        raise Missing
    if wants_json():
        return _as_json(found)
    newer, older = album.catalogue.neighbours(found.number)
    return make_response(
        render_template("photo.html", photo=found, newer=newer, older=older, bucket_answers=album.bucket.answers())
    )


@pages.get("/photos/<uuid:id>/<any(view, thumb):kind>.jpg")
def picture(id: UUID, kind: str) -> AnyResponse:
    """Only of a photo that has a row: what is being written or removed is not there."""
    album = _album()
    if album.catalogue.find(str(id)) is None:
        raise Missing
    if link := album.bucket.link(str(id), kind):
        response = redirect(link, 302)
        response.headers["Cache-Control"] = "private, max-age=300"
        return response
    # What was drawn once is never changed, so a browser that has it need not get it again.
    tag = f"{id}-{kind}"
    if request.if_none_match.contains(tag):
        response = Response(status=304)
    else:
        content = album.bucket.get(str(id), kind)
        if content is None:
            raise Missing("The picture of this photo is not in the bucket.", "Whoever keeps the bucket can tell more.")
        response = Response(content, mimetype="image/jpeg")
        response.headers["Content-Disposition"] = f'inline; filename="photo-{id}-{kind}.jpg"'
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cache-Control"] = "private, no-cache"
    response.set_etag(tag)
    return response


@pages.post("/photos/<uuid:id>/delete")
def delete(id: UUID) -> AnyResponse:
    was_there = _album().delete(str(id))
    if wants_json():
        return jsonify(deleted=was_there)
    flash("Deleted." if was_there else "This photo was deleted already.")
    return redirect(url_for(".gallery"), 303)


@pages.post("/photos/<uuid:id>/labels")
def look_again(id: UUID) -> AnyResponse:
    done = _album().look_again(str(id))
    flash("Looked at again." if done else "It could not be looked at: the detector does not answer.")
    return redirect(url_for(".photo", id=id), 303)


@pages.get("/health")
def health() -> Response:
    """This instance can answer. Whether database and bucket do is left out: fewer instances would mend nothing."""
    return Response("ok\n", mimetype="text/plain")


@pages.get("/status")
def status() -> Response:
    """What is behind the pages, for people and monitors."""
    album = _album()
    found = {"database": album.catalogue.answers(), "bucket": album.bucket.answers()}
    words = {name: "answers" if answers else "does not answer" for name, answers in found.items()}
    settings = current_app.extensions["settings"]
    where = {"instance": settings.instance, "zone": settings.zone, "release": settings.release}
    return make_response(jsonify(**words, labels=album.detector.name, **where), 200 if all(found.values()) else 503)


def _album() -> Album:
    return cast(Album, current_app.extensions["album"])


def _number(name: str) -> int | None:
    """A cursor of the query; anything else is as if it were not there."""
    text = request.args.get(name, "")
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _as_json(photo: Photo) -> Response:
    return jsonify(
        id=photo.id,
        url=url_for(".photo", id=photo.id),
        view=url_for(".picture", id=photo.id, kind="view"),
        thumb=url_for(".picture", id=photo.id, kind="thumb"),
        title=photo.title,
        format=photo.format,
        width=photo.width,
        height=photo.height,
        labels=[{"name": label.name, "confidence": label.confidence} for label in photo.labels],
        labelled_by=photo.labelled_by,
        uploaded_at=photo.uploaded_at.isoformat(),
        uploaded_by=photo.uploaded_by,
    )
