"""What can go wrong, and how it is told: a status, what happened, and what to do next, as a page or as JSON.

What the data beside the app raise is turned into one of these where it is called (`catalogue`, `bucket`, `labels`).
"""

from __future__ import annotations

from flask import Flask, Response, current_app, make_response, render_template, request
from werkzeug.exceptions import HTTPException

SOON = "5"
"""Seconds after which it is worth asking again."""


class Problem(Exception):
    """`what` happened, and what to do `next`: sentences for the visitor. Nothing in them comes from the upload."""

    status = 500
    what = "Something went wrong."
    next = "Try again. If it stays so, the log of this instance says why."

    def __init__(self, what: str = "", next: str = "") -> None:
        self.what, self.next = what or self.what, next or self.next
        super().__init__(self.what)


class BadRequest(Problem):
    status = 400
    what = "This request is not complete."
    next = "Go back, choose a picture, and send the form again."


class Forged(Problem):
    status = 403
    what = "This form is too old, or it did not come from this site."
    next = "Go back, load the page again, and send the form once more. Cookies must be allowed."


class Missing(Problem):
    status = 404
    what = "There is no such photo."
    next = "It may have been deleted. The gallery shows what there is."


class TooLarge(Problem):
    status = 413
    what = "This is more than 20 MB."
    next = "Choose a smaller picture, or save it with a lower quality."


class NotAPicture(Problem):
    status = 415
    what = "This is no JPEG, PNG, WebP or GIF."
    next = "Whatever the file is called, its content decides. Save the picture as JPEG and upload that."


class BrokenPicture(Problem):
    status = 422
    what = "This picture cannot be read."
    next = "It may be cut off. Open it in a picture viewer, save it again, and upload that."


class Unavailable(Problem):
    """Something beside the app does not answer; it is asked again soon."""

    status = 503


class Busy(Unavailable):
    what = "This instance works on other pictures already."
    next = "Nothing was stored. Send the form again in a few seconds."


class DatabaseDown(Unavailable):
    what = "The database does not answer."
    next = "The photos are safe, but they cannot be listed or changed until it is back. This page can be loaded again."


class BucketDown(Unavailable):
    what = "The bucket, where the pictures are, does not answer."
    next = "The photos are safe, but they cannot be shown or added to until it is back. This page can be loaded again."


class OutcomeUnknown(Unavailable):
    """The database went away in mid-change: nobody knows whether it was made."""

    what = "The database went away at the last moment."
    next = "Send the same form again: if the photo was stored already, it is not stored twice."


def wants_json() -> bool:
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return best == "application/json"


def told(problem: Problem) -> Response:
    """The answer to the request that it ended."""
    if wants_json():
        response = make_response({"error": problem.what, "next": problem.next}, problem.status)
    else:
        response = make_response(render_template("problem.html", problem=problem), problem.status)
    if isinstance(problem, Unavailable):
        response.headers["Retry-After"] = SOON
    return response


def explain(app: Flask) -> None:
    """Every error of the app is answered in one way."""

    @app.errorhandler(Problem)
    def _problem(problem: Problem) -> Response:
        if isinstance(problem, Unavailable):
            current_app.logger.warning("%s %s: %s (%r)", request.method, request.path, problem.what, problem.__cause__)
        return told(problem)

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response | HTTPException:
        code = error.code or 500
        if code < 400:
            return error
        known = {413: TooLarge(), 404: Missing("There is no such page.", "The gallery shows what there is.")}
        problem = known.get(code) or Problem(f"{error.name}.", "The gallery is where everything begins.")
        problem.status = code
        response = told(problem)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def _unforeseen(error: Exception) -> Response:
        current_app.logger.exception("%s %s", request.method, request.path, exc_info=error)
        return told(Problem())
