"""A shell in which the usual programs reach one bucket: `aws s3 ls s3://NAME`, `rclone ls NAME:`."""

from __future__ import annotations

import os

from fairlead.core.resources.addresses import HOST, REGION, user_of
from fairlead.core.resources.model import Bucket
from fairlead.resources.base import Program, Shell
from fairlead.resources.recipe import Place

OTHERS = (
    "AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_ENDPOINT_URL AWS_ROLE_ARN "
    "AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE"
)
"""Variables of the user's that would lead elsewhere."""

SCRIPT = f'unset {OTHERS}; PATH="$PATH:$FAIRLEAD_TOOLS"; export PATH; exec "${{SHELL:-/bin/sh}}"'
"""rclone is the one that serves the bucket, where the user has no other."""

SERVER = "FAIRLEAD"
"""The remote behind the bucket's own, whose name programs read from variables in capitals."""


def shell(program: Program, bucket: Bucket, place: Place) -> Shell:
    """For the user's terminal."""
    remote = bucket.id.replace("-", "_")
    name, endpoint = f"RCLONE_CONFIG_{remote.upper()}", f"http://{HOST}:{place.port}"
    server = f"RCLONE_CONFIG_{SERVER}"
    environment = {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": user_of(bucket),
        "AWS_SECRET_ACCESS_KEY": place.password,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        f"{server}_TYPE": "s3",
        f"{server}_PROVIDER": "Rclone",
        f"{server}_ENDPOINT": endpoint,
        f"{server}_REGION": REGION,
        f"{server}_ACCESS_KEY_ID": user_of(bucket),
        f"{server}_SECRET_ACCESS_KEY": place.password,
        f"{name}_TYPE": "alias",
        f"{name}_REMOTE": f"{SERVER.lower()}:{bucket.name}",
        "FAIRLEAD_TOOLS": os.path.dirname(program.path),
    }
    says = (
        f"a shell that knows the bucket {bucket.name}: aws s3 ls s3://{bucket.name}, rclone ls {remote}: (EXIT ends it)"
    )
    return Shell(argv=("/bin/sh", "-c", SCRIPT), environment=environment, says=says)
