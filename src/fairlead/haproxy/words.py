"""How text becomes a word of HAProxy's: of its configuration file, or of its runtime commands. Pure.

In: values from the file, from a request, from the disk's layout. Out: a word that HAProxy reads as exactly that value,
or BalancerError. The law: nothing reaches HAProxy that did not pass through here, and what cannot be written safely is
refused (haproxy.md section 8.1). The spec refuses such values earlier and with their place in the file; this is the
last door.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from itertools import zip_longest

from fairlead.errors import BalancerError

LONGEST_WORD = 1024
"""Characters of one value."""

LONGEST_TEXT = 4096
"""Bytes of a fixed answer, which must fit into HAProxy's buffer; an ALB takes 1024 characters."""

LONGEST_TIME = 2_000_000_000
"""Milliseconds: HAProxy's timers are 31 bits."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62})")
_CODES = re.compile(r"[1-5][0-9]{2}(?:-[1-5][0-9]{2})?(?:,[1-5][0-9]{2}(?:-[1-5][0-9]{2})?)*")
_PATH = re.compile(r"/[\x21-\x7e]*")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_COOKIE = re.compile(r"[A-Za-z0-9._-]{1,255}")
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,255}")
_HOST_PATTERN = re.compile(r"[A-Za-z0-9._*?-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\]")
_PATH_PATTERN = re.compile(r"[/*?][\x21-\x7e]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&*+.^_`|~-]{1,128}")
_HEADER_PATTERN = re.compile(r"[\x20-\x7e\t]*")
_QUERY_KEY = re.compile(r"[\x21-\x25\x27-\x3c\x3e-\x7e]*")
_QUERY_VALUE = re.compile(r"[\x21-\x25\x27-\x7e]*")
_METHOD = re.compile(r"[A-Za-z0-9!#$%&*+.^_`|~-]{1,64}")
_CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&+.^_-]+/[A-Za-z0-9!#$&+.^_-]+(?:; *[A-Za-z0-9_-]+=[A-Za-z0-9._-]+)?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_URI_TEXT = re.compile(r"[\x21-\x7e]*")
_REDIRECT_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]*")
_RUNTIME_SPECIAL = re.compile(r"""[ \\;'"#]""")


def refuse(what: str, value: object, why: str, next_step: str = "") -> BalancerError:
    """The error for a value that HAProxy must not see; control characters in it are shown escaped."""
    return BalancerError(f"{what} {value!r:.120} cannot be given to HAProxy", why, next_step)


def name(value: str, what: str) -> str:
    """A stack's, service's or instance's name; it goes unquoted into both languages."""
    if not _NAME.fullmatch(value):
        raise refuse(what, value, "a name has 1 to 63 of a-z, 0-9 and -, and does not begin with -")
    return value


def word(value: str, what: str, most: int = LONGEST_WORD) -> str:
    """`value` quoted for the configuration file: everything in it is literal."""
    if len(value) > most:
        raise refuse(what, value, f"it has {len(value)} characters, more than {most}")
    # Newline and NUL break any quoting; the other controls and lone surrogates have no business in a value either.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise refuse(what, value, "it holds a control character")
    return "'" + value.replace("'", "'\\''") + "'"


def runtime_word(value: str, what: str) -> str:
    """`value` as one word of a runtime command."""
    word(value, what)
    return _RUNTIME_SPECIAL.sub(lambda match: "\\" + match[0], value)


def file_path(value: str, what: str) -> str:
    """A path that goes where HAProxy expects an address: there it would expand `$` and take `,` for a separator."""
    if not value.startswith("/") or any(character in value for character in "$,"):
        raise refuse(
            what, value, "a path there must be absolute and hold no $ and no comma",
            "set FAIRLEAD_HOME to another folder",
        )  # fmt: skip
    word(value, what)
    return value


def check_path(value: str) -> str:
    """The path (and query) that a health check asks for."""
    if not _PATH.fullmatch(value):
        raise refuse(
            "health check path", value, "it must begin with / and hold no blank and nothing but ASCII",
            "write other characters as %XX",
        )  # fmt: skip
    return word(value, "health check path")


def check_host(value: str) -> str:
    """The Host header of a health check. HAProxy reads it as a format, but `%` is not among what a host may hold."""
    if not _HOST.fullmatch(value):
        raise refuse("health check host", value, "it must be a host name or address, with :PORT or without")
    return word(value, "health check host")


def path_pattern(value: str) -> str:
    """A pattern that paths are compared with, not yet quoted. Case matters, as in an ALB's."""
    if not _PATH_PATTERN.fullmatch(value):
        raise refuse(
            "path pattern", value, "it must begin with /, * or ? and hold no blank and nothing but ASCII",
            "write other characters as %XX",
        )  # fmt: skip
    return value


def host_pattern(value: str) -> str:
    """A pattern that hosts are compared with, as it is compared: case does not matter, and the port is left out."""
    if not _HOST_PATTERN.fullmatch(value):
        raise refuse("host pattern", value, "it must be a host name without port, in which * and ? may stand")
    return value.lower()


def header_name(value: str) -> str:
    """A header's name inside a fetch of HAProxy's: `req.fhdr(NAME)`, where a quote or a bracket would end it."""
    if not _HEADER_NAME.fullmatch(value):
        raise refuse("header name", value, "it must have 1 to 128 of the characters that HTTP allows in one")
    return value.lower()


def header_pattern(value: str) -> str:
    """A pattern that a header's values are compared with, not yet quoted."""
    if not _HEADER_PATTERN.fullmatch(value):
        raise refuse("header pattern", value, "it must hold nothing but ASCII", "let * or ? stand for the rest")
    return value


def query_pattern(key: str, value: str) -> tuple[str, str]:
    """Patterns of a parameter's key and value, not yet quoted; parameters are compared as they are sent."""
    encode = "write other characters as %XX"
    if not _QUERY_KEY.fullmatch(key):
        raise refuse("query key", key, "it must hold no blank, no = and no &, and nothing but ASCII", encode)
    if not _QUERY_VALUE.fullmatch(value):
        raise refuse("query value", value, "it must hold no blank and no &, and nothing but ASCII", encode)
    return key, value


def method(value: str) -> str:
    """A method that requests are compared with, quoted."""
    if not _METHOD.fullmatch(value):
        raise refuse("method", value, "it must have 1 to 64 of the characters that HTTP allows in one")
    return word(value, "method")


def network(value: str) -> str:
    """An address or a network, in its shortest form."""
    try:
        found = ipaddress.ip_network(value, strict=False)
    except ValueError as problem:
        raise refuse("source", value, "it is neither an IP address nor a network like 10.0.0.0/8") from problem
    if "%" in value:
        raise refuse("source", value, "an address with a zone (%) is not supported")
    return str(found)


def redirect_part(value: str, part: str) -> str:
    """The fixed text of a redirect's host, path or query, inside a word that HAProxy reads as a format: `%` is doubled
    there."""
    allowed = _REDIRECT_HOST if part == "host" else _URI_TEXT
    if len(value) > LONGEST_WORD or not allowed.fullmatch(value):
        raise refuse(
            f"redirect {part}", value,
            "it must be a host name" if part == "host" else "it must hold no blank and nothing but ASCII",
            "" if part == "host" else "write other characters as %XX",
        )  # fmt: skip
    return value.replace("%", "%%")


def content_type(value: str) -> str:
    """Of a fixed answer."""
    if len(value) > LONGEST_WORD or not _CONTENT_TYPE.fullmatch(value):
        raise refuse("content type", value, "it must be a media type like text/plain")
    return word(value, "content type")


def digest(value: str) -> str:
    """A sha256, hexadecimal."""
    if not _DIGEST.fullmatch(value):
        raise refuse("digest", value, "it must be a sha256, written as 64 of 0-9 and a-f")
    return value


def text(value: str, what: str) -> str:
    """`value` quoted like a word; it may have several lines, and tabs."""
    if (size := len(value.encode(errors="surrogatepass"))) > LONGEST_TEXT:
        raise refuse(what, value, f"it has {size} bytes, more than {LONGEST_TEXT}")
    # HAProxy reads \n, \r and \t only between double quotes, so these stand in a quotation of their own.
    pieces = re.split(r"([\n\r\t]+)", value)
    blanks, lines = map(_blanks, pieces[1::2]), (word(line, what, LONGEST_TEXT) for line in pieces[::2])
    return "".join(piece for pair in zip_longest(lines, blanks, fillvalue="") for piece in pair)


def _blanks(value: str) -> str:
    return '"' + value.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t") + '"'


def cookie_name(value: str) -> str:
    """The name of a cookie of an app's; it goes unquoted into fetches."""
    if not _COOKIE.fullmatch(value):
        raise refuse("stickiness cookie", value, "it must have 1 to 255 letters, digits and . _ -")
    return value


def codes(value: str) -> str:
    """A matcher: `200`, `200,302`, `200-299`."""
    if len(value) > LONGEST_WORD or not _CODES.fullmatch(value):
        raise refuse("health check matcher", value, "it must list codes or ranges of codes, like 200,204-206")
    for part in value.split(","):
        low, _, high = part.partition("-")
        if high and int(high) < int(low):
            raise refuse("health check matcher", value, f"the range {part} is empty")
    return value


def token(value: str) -> str:
    """A stack's check token."""
    if not _TOKEN.fullmatch(value):
        raise refuse("check token", "(not shown)", "it must have 1 to 255 letters, digits and . _ ~ -")
    return word(value, "check token")


def milliseconds(seconds: float, what: str) -> str:
    """A duration, exact to the millisecond: `5s`, `1500ms`."""
    count = round(seconds * 1000) if abs(seconds) < LONGEST_TIME else LONGEST_TIME + 1
    if not 1 <= count <= LONGEST_TIME:
        raise refuse(what, seconds, "it must be between 0.001 s and 23 days")
    return f"{count // 1000}s" if count % 1000 == 0 else f"{count}ms"


def count(value: int, what: str, least: int = 1, most: int = 1_000_000_000) -> str:
    """A whole number within bounds."""
    if not least <= value <= most:
        raise refuse(what, value, f"it must be between {least} and {most}")
    return str(int(value))


def ip(value: str, what: str) -> str:
    """A literal IP address in its shortest form, without brackets; HAProxy would look up a name once and keep it."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError as problem:
        raise refuse(what, value, "it is not an IP address") from problem
    if "%" in value:
        raise refuse(what, value, "an address with a zone (%) is not supported")
    return str(address)


def endpoint(address: str, port: int) -> str:
    """`127.0.0.1:8080`, `[::1]:8080`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def target_address(value: str) -> str:
    """A target's address in HAProxy's form, not yet quoted: `unix@/path`, `127.0.0.1:20001`, `[::1]:20001`."""
    if value.startswith("unix:"):
        return "unix@" + file_path(value.removeprefix("unix:"), "target address")
    host, colon, port = value.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port):
        raise refuse("target address", value, "it must be unix:/PATH or IP:PORT")
    count(int(port), "target port", 1, 65535)
    bracketed = host.startswith("[") and host.endswith("]")
    literal = ip(host[1:-1] if bracketed else host, "target address")
    if (":" in literal) != bracketed:
        raise refuse("target address", value, "an IPv6 address stands in brackets, any other does not")
    return endpoint(literal, int(port))
