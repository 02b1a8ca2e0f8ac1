"""Which protocols of a client go with which of a target group's targets (aws-semantics A7). Pure.

In: the protocol that a group's targets speak. Out: the `http-request` rules of its backends that answer 464 to what
they could not understand. They stand in the backends, since only there it is known whose the request is.
"""

from __future__ import annotations

from typing import Literal

from fairlead.haproxy.pages import denied


def mismatches(protocol: Literal["HTTP1", "HTTP2", "GRPC"]) -> list[str]:
    """Its rules, without the word `http-request`."""
    match protocol:
        case "HTTP1":
            return [f"{denied(464)} if {{ fc_http_major 2 }} {{ req.fhdr(content-type) -m beg -i application/grpc }}"]
        case "HTTP2":
            return [f"{denied(464)} if !{{ fc_http_major 2 }}"]
        case "GRPC":
            return [f"{denied(464)} if !{{ fc_http_major 2 }} or !{{ method POST }}"]
