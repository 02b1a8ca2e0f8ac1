"""What the balancer answers by itself: an Application Load Balancer's small pages (aws-semantics A8). Pure.

In: a status. Out: the page, and the arguments of HAProxy's directives that send it. The pages are an ALB's byte for
byte, so that a length which a test or a script waits for is the same; only `Server` says who it was.
"""

from __future__ import annotations

from collections.abc import Sequence

SERVER = "hdr Server fairlead"
"""Of every answer that no target gave."""

TITLES = {
    301: "Moved Permanently",
    302: "Found",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Not Allowed",
    408: "Request Time-out",
    463: "",
    464: "",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
    505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
}
"""Those that it may send, in the words of the page."""

OWN_ERRORS = (400, 403, 405, 408, 500, 501, 502, 503, 504)
"""What HAProxy sends without having been told to."""


def page(status: int) -> str:
    """The page, its lines ended by CR LF."""
    title = f"{status} {TITLES[status]}".rstrip()
    lines = (
        "<html>",
        f"<head><title>{title}</title></head>",
        "<body>",
        f"<center><h1>{title}</h1></center>",
        "</body>",
        "</html>",
    )
    return "".join(line + "\r\n" for line in lines)


def answer(status: int, headers: Sequence[str] = ()) -> str:
    """What stands behind `http-request` (and before its condition) to send the page. headers: `NAME FORMAT` each, both
    written as HAProxy's words."""
    return " ".join((f"return status {status} {_content(status)} {SERVER}", *(f"hdr {one}" for one in headers)))


def denied(status: int) -> str:
    """The same in a backend, where HAProxy counts what it denies: no target was chosen for it (`counts.Counts`)."""
    return f"deny deny_status {status} {_content(status)} {SERVER}"


def own_error(status: int, shown: int | None = None) -> str:
    """The directive that gives HAProxy's own error the page (shown: another's, where the status is changed behind)."""
    return f"http-error status {status} {_content(shown or status)} {SERVER}"


def own_errors() -> list[str]:
    """The directives for all of them."""
    return [own_error(status) for status in OWN_ERRORS]


def _content(status: int) -> str:
    # Nothing in a page means something to HAProxy between double quotes, where it reads \r and \n.
    return f'content-type text/html string "{page(status)}"'.replace("\r", "\\r").replace("\n", "\\n")
