r"""Text that others wrote, made harmless for a terminal, a log and a person's eye.

In: anything: log lines, names from the file, a program's message. Out: the same text, on as many lines, in which
nothing is left that a terminal obeys or that makes text look like other text. Colours are dropped; every other control
character shows as an escape (`\x1b`, `\u202e`). Called by whoever prints what fairlead did not write.
"""

from __future__ import annotations

import re

_COLOUR = re.compile("(?:\x1b\\[|\x9b)[0-9;:]*m")

# Not harmless: C0 but tab and newline, DEL and C1; what reorders text (bidirectional marks, embeddings, overrides and
# isolates); invisible separators and lines that only some programs break at; lone surrogates.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """`text` with nothing left that a terminal obeys, but for tab and newline; `\\r\\n` counts as a newline.

    A byte that was not UTF-8, as `surrogateescape` carries it, shows as `\\xNN`. A second pass changes nothing.
    """
    return _HARMFUL.sub(_escaped, _COLOUR.sub("", text.replace("\r\n", "\n")))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
