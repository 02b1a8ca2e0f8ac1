"""A client for what exists already: the right words for each engine, and no password among them."""

from __future__ import annotations

import pytest

from fairlead.control.data_shell import shell_of_url
from fairlead.core.resources.addresses import addresses_of_url
from fairlead.core.resources.model import Bucket, Cache, Database, Resource
from fairlead.errors import ResourceError
from fairlead.resources.base import Shell


def shell(resource: Resource, url: str, *programs: str) -> Shell:
    return shell_of_url(resource, addresses_of_url(resource, url), {name: f"/bin/{name}" for name in programs}.get)


CACHE, POSTGRES = Cache(id="theirs"), Database(id="theirs", engine="postgres")
MYSQL, BUCKET = Database(id="theirs", engine="mysql"), Bucket(id="theirs")


@pytest.mark.parametrize(
    ("resource", "url", "argv", "environment"),
    [
        (
            CACHE,
            "redis://:hunter2@cache.example.com/3",
            "/bin/redis-cli -h cache.example.com -p 6379 -n 3",
            {"REDISCLI_AUTH": "hunter2"},
        ),
        (
            CACHE,
            "rediss://web:hunter2@cache.example.com:6380",
            "/bin/redis-cli -h cache.example.com -p 6380 -n 0 --user web --tls --sni cache.example.com",
            {"REDISCLI_AUTH": "hunter2"},
        ),
        (
            POSTGRES,
            "postgresql+psycopg://web:hunt%40er2@db.example.com:5433/shop?sslmode=require&password=no",
            "/bin/psql postgresql://web@db.example.com:5433/shop?sslmode=require",
            {"PGPASSWORD": "hunt@er2"},
        ),
        (POSTGRES, "postgres://db.example.com/shop", "/bin/psql postgresql://db.example.com:5432/shop", {}),
        (
            POSTGRES,
            "postgres://web@[::1]/shop?password=hunter2",
            "/bin/psql postgresql://web@[::1]:5432/shop",
            {"PGPASSWORD": "hunter2"},
        ),
        (
            MYSQL,
            "mysql+pymysql://web:hunter2@db.example.com/shop",
            "/bin/mariadb --host=db.example.com --port=3306 --protocol=tcp --user=web shop",
            {"MYSQL_PWD": "hunter2"},
        ),
        (
            BUCKET,
            "s3://key:hunter2@photos?region=eu-west-1&endpoint=https://s3.example.com",
            None,
            {
                "AWS_ENDPOINT_URL_S3": "https://s3.example.com",
                "AWS_REGION": "eu-west-1",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "hunter2",
                "RCLONE_CONFIG_BUCKET_TYPE": "s3",
                "RCLONE_CONFIG_BUCKET_PROVIDER": "Other",
                "RCLONE_CONFIG_BUCKET_ENV_AUTH": "true",
                "RCLONE_CONFIG_BUCKET_REGION": "eu-west-1",
                "RCLONE_CONFIG_BUCKET_ENDPOINT": "https://s3.example.com",
            },
        ),
    ],
)
def test_each_engine_has_its_client_and_the_password_is_in_its_environment_alone(
    resource: Resource, url: str, argv: str | None, environment: dict[str, str]
) -> None:
    found = shell(resource, url, "redis-cli", "psql", "mariadb", "rclone")
    assert found.argv == tuple(argv.split(" ")) if argv else found.argv[:2] == ("/bin/sh", "-c")
    assert dict(found.environment) == environment
    said = "theirs is not run by fairlead" if argv else "a shell that knows the bucket photos: rclone ls bucket:photos"
    assert said in found.says
    assert "hunt" not in " ".join(found.argv) + found.says


def test_a_bucket_without_keys_in_its_url_is_reached_with_the_users_own() -> None:
    found = shell(BUCKET, "s3://photos?region=eu-west-1", "aws", "rclone")
    assert found.says.endswith("aws s3 ls s3://photos")
    assert "unset" not in found.argv[2]
    assert {*found.environment} == {
        *("AWS_REGION", "AWS_DEFAULT_REGION"),
        *(f"RCLONE_CONFIG_BUCKET_{name}" for name in ("TYPE", "PROVIDER", "ENV_AUTH", "REGION")),
    }


def test_the_second_name_of_a_client_does_as_well() -> None:
    assert shell(CACHE, "redis://c/0", "valkey-cli").argv[0] == "/bin/valkey-cli"
    assert shell(MYSQL, "mysql://c/x", "mysql").argv[0] == "/bin/mysql"


def test_without_a_client_or_a_host_it_says_what_is_missing() -> None:
    with pytest.raises(ResourceError, match="redis-cli or valkey-cli is not installed") as missing:
        shell(CACHE, "redis://cache.example.com/0")
    assert missing.value.next_step == "apt install redis-tools"
    with pytest.raises(ResourceError, match="its url names no host"):
        shell(CACHE, "redis:///0", "redis-cli")
