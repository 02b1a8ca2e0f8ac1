"""What the environment says, read once at start: every name, its meaning, and one sentence when it is wrong.

Where the keys of the bucket come from is boto3's business (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_DEFAULT_REGION`, or the role of the machine). They are never used for Rekognition when the bucket's endpoint is not
Amazon's: then they are keys of that bucket, and Amazon does not know them.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sqlalchemy import URL

DIALECTS = {"postgres": ("postgresql+psycopg", 5432), "mysql": ("mysql+pymysql", 3306)}
ALSO = {"postgresql": "postgres", "mariadb": "mysql"}
SHORTEST_SECRET = 16


class SettingsError(Exception):
    """A variable of the environment is missing, or says something that cannot be."""


@dataclass(frozen=True, kw_only=True)
class BucketSettings:
    name: str
    endpoint: str = ""
    """Where the bucket is, when it is not Amazon's."""
    public_endpoint: str = ""
    """Where browsers reach it; "" when they do not, and pictures are served through the app."""


@dataclass(frozen=True, kw_only=True)
class RekognitionSettings:
    region: str
    key_id: str = ""
    """"": whatever boto3 finds, which is the role of the machine on AWS."""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    flask_secret: str = field(repr=False)
    """Signs cookies and forms; the same for all instances."""
    database: URL
    bucket: BucketSettings
    rekognition: RekognitionSettings | None = None
    """None: labels come from the local detector."""
    instance: str = ""
    """Which one this is, as it is shown."""
    zone: str = ""
    release: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """SettingsError: which variable, and what it should be."""
        env = _Environment(environment)
        return cls(
            flask_secret=_secret(env),
            database=database_of(environment),
            bucket=bucket_of(environment),
            rekognition=_rekognition(env),
            instance=env.get("FAIRLEAD_INSTANCE") or socket.gethostname(),
            zone=env.get("FAIRLEAD_ZONE"),
            release=env.get("FAIRLEAD_RELEASE"),
        )


def database_of(environment: Mapping[str, str]) -> URL:
    """Of the `DATABASE_…` variables."""
    env = _Environment(environment)
    said = env.get("DATABASE_ENGINE").lower() or "mysql"
    engine = ALSO.get(said, said)
    if engine not in DIALECTS:
        raise SettingsError(f"DATABASE_ENGINE is {said!r}, and should be postgres or mysql")
    driver, usual = DIALECTS[engine]
    port = env.get("DATABASE_PORT") or str(usual)
    if not (port.isascii() and port.isdigit()):
        raise SettingsError(f"DATABASE_PORT is {port!r}, and should be a number")
    return URL.create(
        driver,
        host=env.need("DATABASE_HOST"),
        port=int(port),
        username=env.get("DATABASE_USER") or "web_user",
        password=env.get("DATABASE_PASSWORD") or None,
        database=env.get("DATABASE_DB_NAME") or "photos",
        query={"charset": "utf8mb4"} if engine == "mysql" else {},
    )


def bucket_of(environment: Mapping[str, str]) -> BucketSettings:
    """Of `PHOTOS_BUCKET` and its kin."""
    env = _Environment(environment)
    return BucketSettings(
        name=env.need("PHOTOS_BUCKET"),
        endpoint=_own_endpoint(env),
        public_endpoint=env.get("PHOTOS_PUBLIC_ENDPOINT").rstrip("/"),
    )


def _secret(env: _Environment) -> str:
    secret = env.need("FLASK_SECRET")
    if len(secret) < SHORTEST_SECRET:
        raise SettingsError(f"FLASK_SECRET has {len(secret)} characters, and should have {SHORTEST_SECRET} or more")
    return secret


def _own_endpoint(env: _Environment) -> str:
    return env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")


def _is_amazons(endpoint: str) -> bool:
    return not endpoint or (urlsplit(endpoint).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _rekognition(env: _Environment) -> RekognitionSettings | None:
    """`PHOTOS_LABELS`: `local`, `rekognition`, or `auto`, which is Rekognition when there are credentials of AWS: keys
    for it alone, or those of a bucket at Amazon."""
    wish = env.get("PHOTOS_LABELS").lower() or "auto"
    key_id, secret = env.get("REKOGNITION_ACCESS_KEY_ID"), env.get("REKOGNITION_SECRET_ACCESS_KEY")
    region = env.get("REKOGNITION_REGION")
    # The keys and the region of a bucket that is not Amazon's say nothing of Rekognition's.
    is_amazons = _is_amazons(_own_endpoint(env))
    region = region or (env.get("AWS_DEFAULT_REGION") or env.get("AWS_REGION") if is_amazons else "")
    if wish not in ("auto", "local", "rekognition"):
        raise SettingsError(f"PHOTOS_LABELS is {wish!r}, and should be auto, local or rekognition")
    if wish == "local":
        return None
    if bool(key_id) != bool(secret):
        lacks = "REKOGNITION_SECRET_ACCESS_KEY" if key_id else "REKOGNITION_ACCESS_KEY_ID"
        raise SettingsError(f"{lacks} is missing: Rekognition needs both, the key's id and the secret")
    if not key_id and wish == "auto":
        has_keys = is_amazons and env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY")
        return RekognitionSettings(region=region) if has_keys and region else None
    if not key_id and not is_amazons:
        raise SettingsError(
            "PHOTOS_LABELS is rekognition, and there are no keys for it: those of AWS_ACCESS_KEY_ID belong to the "
            "bucket at AWS_ENDPOINT_URL_S3; set REKOGNITION_ACCESS_KEY_ID and REKOGNITION_SECRET_ACCESS_KEY"
        )
    if not region:
        raise SettingsError("REKOGNITION_REGION is missing: it says which Rekognition to ask, for example eu-central-1")
    return RekognitionSettings(region=region, key_id=key_id, secret=secret)


class _Environment:
    """Values without the white space that pasting brings."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def get(self, name: str) -> str:
        return self._values.get(name, "").strip()

    def need(self, name: str) -> str:
        if value := self.get(name):
            return value
        raise SettingsError(f"{name} is missing: fairlead.yaml says what the app needs, and where it comes from")
