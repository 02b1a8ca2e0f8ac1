"""Signing requests to S3: AWS Signature Version 4, as far as it takes to ask a bucket something. Pure.

"Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from urllib.parse import quote

SAFE = "/-_.~"
"""What stays as it is in a path, beside letters and digits."""

EMPTY = hashlib.sha256(b"").hexdigest()
"""Of no body."""


def signed(method: str, path: str, *, host: str, user: str, secret: str, region: str, now: datetime) -> dict[str, str]:
    """The headers of a request without a body or a query. path: `/BUCKET/KEY`. user, secret: the access key. now: in
    UTC."""
    moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {"host": host, "x-amz-content-sha256": EMPTY, "x-amz-date": moment}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = "\n".join([method, quote(path, safe=SAFE), "", lines, names, EMPTY])
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"Credential={user}/{scope},SignedHeaders={names},Signature={key.hex()}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}"}
