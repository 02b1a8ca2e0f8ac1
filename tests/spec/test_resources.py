"""`caches`, `databases`, `buckets` and `secrets`: what they become, who may ask for what, and what is refused."""

from __future__ import annotations

import pytest

from fairlead.core.model import Command
from fairlead.core.resources.model import Bucket, Cache, Database
from tests.spec.builders import a_service, error_of, problems_of, stack_of, web_of

DATA = """\
caches:
  sessions: {engine: redis, memory: 64MB}
databases:
  web-store: {engine: postgres}
buckets:
  photos: {}
"""

OUTSIDE = """\
databases:
  store: {url: "postgresql+psycopg://web:${secrets.DB_PASSWORD}@db.internal/shop"}
buckets:
  photos: {url: "s3://my-photos?region=eu-central-1&endpoint=http://10.0.0.7:9000"}
caches:
  sessions: {url: "rediss://:pass%20word@cache.internal"}
"""


def with_data(lines: str = "", *, data: str = DATA, program: str = 'app: "app:app"') -> str:
    return a_service(lines, program=program) + data


def of_web(**variables: str) -> str:
    return "environment:\n" + "".join(f"  {name}: '{value}'\n" for name, value in variables.items())


def test_they_come_in_the_order_of_the_file_with_names_that_need_no_quotes() -> None:
    assert stack_of(with_data()).resources == (
        Cache(id="sessions", memory=64_000_000),
        Database(id="web-store", engine="postgres", name="web_store", user="web_store"),
        Bucket(id="photos", name="photos"),
    )
    assert [one.id for one in stack_of(with_data(data=OUTSIDE)).resources] == ["store", "photos", "sessions"]


def test_what_the_file_says_of_them_is_taken() -> None:
    data = "databases: {d: {engine: mysql, name: shop-2, user: web_user, version: 10.11}}\n"
    data += "caches: {c: {engine: redis, eviction: noeviction, persist: true}}\n"
    assert stack_of(with_data(data=data)).resources == (
        Database(id="d", engine="mysql", name="shop-2", user="web_user", version="10.11"),
        Cache(id="c", eviction="noeviction", persist=True),
    )


def test_one_that_exists_already_has_its_url_and_the_engine_that_this_tells() -> None:
    store, photos, sessions = stack_of(with_data(data=OUTSIDE)).resources
    assert store == Database(
        id="store", engine="postgres", url="postgresql+psycopg://web:${secrets.DB_PASSWORD}@db.internal/shop"
    )
    assert photos.url == "s3://my-photos?region=eu-central-1&endpoint=http://10.0.0.7:9000"
    assert sessions.url == "rediss://:pass%20word@cache.internal"


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("postgres://h/d", "postgres"), ("postgresql://h", "postgres"), ("postgresql+asyncpg://u:p@h:6432/d", "postgres"),
        ("mysql://u@h/d", "mysql"), ("mysql+pymysql://h/d?charset=utf8mb4", "mysql"), ("mariadb+mariadbconnector://h/d", "mysql"),
        ("mysql://u:${secrets.A}@h:${secrets.DB_PORT}/d", "mysql"), ("postgres://${secrets.HOST_AND_REST}", "postgres"),
    ],
)  # fmt: skip
def test_the_scheme_of_a_url_tells_the_engine(url: str, engine: str) -> None:
    (database,) = stack_of(with_data(data=f"databases: {{d: {{url: '{url}'}}}}\n")).resources
    assert database.engine == engine


def test_beside_a_url_that_begins_with_a_secret_the_file_says_the_engine() -> None:
    data = "databases: {d: {url: '${secrets.U}', engine: mysql}}\ncaches: {c: {url: '${secrets.V}'}}\n"
    data += "buckets: {b: {url: '${secrets.W}'}}\n"
    assert stack_of(with_data(data=data)).resources == (
        Database(id="d", engine="mysql", url="${secrets.U}"),
        Cache(id="c", url="${secrets.V}"),
        Bucket(id="b", url="${secrets.W}"),
    )
    assert problems_of(with_data(data=data.replace(", engine: mysql", ""))) == [
        "fairlead.yaml:5:22: databases.d.url: does not tell what is there, since it begins with a secret; "
        "add `engine: postgres` or `engine: mysql`"
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            "databases: {d: {}}",
            "5:13: databases.d: says nothing of what it is; add `engine: postgres` or `engine: mysql`, or `url` of one that exists",
        ),
        (
            "databases: {d: {url: 'postgres://h/d', engine: postgres}}",
            "5:48: databases.d.engine: cannot be set for a database with `url`: fairlead only uses it; remove `engine` or `url`",
        ),
        *(
            (
                f"databases: {{d: {{{key}: {value}, url: 'postgres://h/d'}}}}",
                f"5:{19 + len(key)}: databases.d.{key}: cannot be set for a database with `url`: fairlead only uses it; "
                f"remove `{key}` or `url`",
            )
            for key, value in (("name", "x"), ("user", "x"), ("version", 16))
        ),
        *(
            (
                f"caches: {{c: {{{key}: {value}, url: 'redis://h'}}}}",
                f"5:{16 + len(key)}: caches.c.{key}: cannot be set for a cache with `url`: fairlead only uses it; "
                f"remove `{key}` or `url`",
            )
            for key, value in (("engine", "redis"), ("memory", "1MB"), ("eviction", "noeviction"), ("persist", "true"))
        ),
        ("caches: {c: {engine: redis, memory: 1KB}}", "5:37: caches.c.memory: must be from 1MB to 1024TiB, not \"1KB\""),
        (f"databases: {{d: {{engine: postgres, name: {'n' * 64}}}}}", "5:41: databases.d.name: must be at most 63 characters long, not 64"),
        (
            f"databases: {{d: {{engine: mysql, user: {'u' * 33}}}}}",
            "5:38: databases.d.user: must be at most 32 characters long for MySQL, not 33",
        ),
        (
            "databases: {postgres: {engine: postgres, user: app}}",
            "5:13: databases.postgres.name: the default, the id, is a name that the server keeps for itself; "
            "write another, such as `name: app`",
        ),
        (
            "databases: {mysql: {engine: mysql, name: app}}",
            "5:13: databases.mysql.user: the default, the id, is a name that the server keeps for itself; "
            "write another, such as `user: app`",
        ),
        (
            "databases: {d: {engine: postgres, user: pg_monitor}}",
            "5:41: databases.d.user: is a name that the server keeps for itself; write another, such as `user: app`",
        ),
        (
            "databases: {d: {engine: mysql, name: Information_Schema}}",
            "5:38: databases.d.name: is a name that the server keeps for itself; write another, such as `name: app`",
        ),
        (
            "databases: {d: {url: 'oracle://h/d'}}",
            "5:22: databases.d.url: must be an address beginning with postgres://, postgresql://, mysql:// or mariadb://",
        ),
        (
            "databases: {d: {url: 'postgres+://h/d'}}",
            "5:22: databases.d.url: must be an address beginning with postgres://, postgresql://, mysql:// or mariadb://",
        ),
        (
            "databases: {d: {url: 'postgres:///d?host=/run/postgresql'}}",
            "5:22: databases.d.url: must name a host after the //, and a port from 1 to 65535 if any",
        ),
        (
            "databases: {d: {url: 'postgres://u:hunter2/3@h/d'}}",
            "5:22: databases.d.url: must name a host after the //, and a port from 1 to 65535 if any; percent-encode what is "
            "special in a user or a password: / is %2F",
        ),
        ("caches: {c: {url: 'redis://${secrets.A} b'}}", "5:19: caches.c.url: must hold no blanks and none but ASCII characters, "
            "others percent-encoded"),
        ("caches: {c: {url: '${secrets.A}\\u00a0'}}".replace("'", '"'), "5:19: caches.c.url: must hold no blanks and none but ASCII "
            "characters, others percent-encoded"),
        ("buckets: {b: {url: 'https://b'}}", "5:20: buckets.b.url: must be s3://NAME?region=REGION&endpoint=URL"),
        *(
            (f"buckets: {{b: {{url: '{url}'}}}}", f"5:20: buckets.b.url: {said}")
            for url, said in {
                "s3://b/prefix": "must name a bucket alone, without a port or a path; as in s3://photos?region=eu-central-1",
                "s3://b:9000": "must name a bucket alone, without a port or a path; as in s3://photos?region=eu-central-1",
                "s3://My-Bucket": "must name a bucket: lower-case letters, digits, . and -, at most 63",
                "s3://b?regoin=x": "must hold nothing but region and endpoint after the ?, each once",
                "s3://b?region=x&region=y": "must hold nothing but region and endpoint after the ?, each once",
                "s3://b?region=": "must name a region such as eu-central-1",
                "s3://b?endpoint=10.0.0.7:9000": "must give as `endpoint` the address of a server, beginning with http:// or https://",
                "s3://b?endpoint=1": "must give as `endpoint` the address of a server, beginning with http:// or https://",
                "s3://A:b/c@b": "must name a host after the //, and a port from 1 to 65535 if any; percent-encode what is special in a "
                "user or a password: / is %2F",
            }.items()
        ),
        ("buckets: {b: {name: x}}", "5:15: buckets.b.name: is not a key that fairlead knows here; it stands at the top of the file"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(data: str, said: str) -> None:
    assert problems_of(a_service() + data) == [f"fairlead.yaml:{said}"]


@pytest.mark.parametrize(
    "url",
    ["s3://photos", "s3://KEY:se%2Fcret@a.b-c?region=us-east-1", "s3://b?endpoint=${secrets.E}", "s3://b?endpoint=https://${secrets.H}",
     "s3://KEY:${secrets.AWS}@b?region=${secrets.R}&endpoint=http%3A%2F%2F127.0.0.1%3A9000", "s3://${secrets.NAME}/"],
)  # fmt: skip
def test_the_url_of_a_bucket(url: str) -> None:
    assert problems_of(a_service() + f"buckets: {{b: {{url: '{url}'}}}}") == []


def test_no_password_of_a_url_is_in_a_problem() -> None:
    data = "databases: {d: {url: 'postgres://u:hunter2@h:port/d', user: x}}\ncaches: {c: {url: 'http://:hunter2@c'}}\n"
    data += "buckets: {b: {url: 's3://K:hunter2@b/p'}}\n"
    said = error_of(with_data(of_web(A="${databases.d.user}", B="${caches.c.name}"), data=data))
    assert len(said.problems) == 3
    assert "hunter2" not in f"{said} {said.detail} {said.problems}"


# References


def test_addresses_stand_in_environment_and_command_until_a_launch() -> None:
    service = web_of(
        with_data(
            of_web(DATABASE_URL="${databases.web-store.url}", BUCKET="${buckets.photos.name} at ${buckets.photos.endpoint}"),
            program="command: x --redis ${caches.sessions.host}:${caches.sessions.port} --port ${instance.port}",
        )
    )  # fmt: skip
    assert service.environment == {
        "DATABASE_URL": "${databases.web-store.url}",
        "BUCKET": "${buckets.photos.name} at ${buckets.photos.endpoint}",
    }
    assert isinstance(service.program, Command)
    assert service.program.argv[2] == "${caches.sessions.host}:${caches.sessions.port}"
    assert (service.secrets, service.external) == ({}, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            with_data(program="command: x ${databases.web-store.url}"),
            "4:14: services.web.command: ${databases.web-store.url} holds a password, which every user of this machine could read in a "
            "command; put it into `environment`, where the program reads it",
        ),
        (
            with_data(program="command: [x, '${caches.sessions.password}']"),
            "4:18: services.web.command.1: ${caches.sessions.password} holds a password, which every user of this machine could read in "
            "a command; put it into `environment`, where the program reads it",
        ),
        (
            with_data("build: make ${databases.web-store.host}"),
            "5:12: services.web.build: ${databases.web-store.host} can stand only in a service's `command` and `environment`; "
            "a build runs before it is there",
        ),
        (
            with_data("before_traffic: migrate ${databases.web-store.host}"),
            "5:21: services.web.before_traffic: ${databases.web-store.host} can stand only in a service's `command` and `environment`; "
            "put it into the service's `environment`: this runs in it too",
        ),
        (
            with_data() + "jobs: {j: {service: web, command: 'x ${buckets.photos.name}', cron: '* * * * *'}}",
            "11:35: jobs.j.command: ${buckets.photos.name} can stand only in a service's `command` and `environment`; "
            "put it into the service's `environment`: this runs in it too",
        ),
        (
            with_data("health_check: {host: '${caches.sessions.host}'}"),
            "5:26: services.web.health_check.host: ${caches.sessions.host} can stand only in a service's `command` and `environment`; "
            "write the address itself",
        ),
        (
            with_data() + "alarms: [{when: unhealthy_targets, above: 0, webhook: 'http://${caches.sessions.host}/'}]",
            "11:55: alarms.0.webhook: ${caches.sessions.host} can stand only in a service's `command` and `environment`; "
            "write the address itself",
        ),
        (
            with_data("after: [web-store]"),
            "5:13: services.web.after.0: databases.web-store is no service, and is started before those that refer to it anyhow; "
            "remove it",
        ),
        (
            with_data(of_web(A="${caches.web-store.url}")),
            "6:10: services.web.environment.A: ${caches.web-store.url}: there is no caches.web-store; write ${databases.web-store.url}",
        ),
        (
            with_data(of_web(A="${caches.session.url}")),
            "6:10: services.web.environment.A: ${caches.session.url}: there is no caches.session; did you mean sessions?",
        ),
        (
            with_data(of_web(A="${databases.store.password}"), data="databases: {store: {url: 'mysql://u@h/d'}}"),
            "6:10: services.web.environment.A: ${databases.store.password}: the url of databases.store does not tell its password; "
            "add it there, or do without it",
        ),
        (
            with_data(of_web(A="${buckets.b.region}"), data="buckets: {b: {url: 's3://b'}}"),
            "6:10: services.web.environment.A: ${buckets.b.region}: the url of buckets.b does not tell its region; "
            "add it there, or do without it",
        ),
        (
            with_data(of_web(A="${databases.d.name}"), data="databases: {d: {url: '${env.U}'}}"),
            "6:10: services.web.environment.A: ${databases.d.name}: the url of databases.d does not tell its name; "
            "add it there, or do without it",
        ),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_told_there_is_refused(text: str, said: str) -> None:
    assert problems_of(text, {"U": "mysql://u@h"}) == [f"fairlead.yaml:{said}"]


@pytest.mark.parametrize(
    "variables",
    [
        {"A": "${databases.store.host}:${databases.store.port}/${databases.store.name} ${databases.store.user}"},
        # What the secret holds is seen only at a launch.
        {"A": "${databases.store.password}"},
        {"A": "${buckets.photos.endpoint} ${buckets.photos.region} ${buckets.photos.name}"},
        {"A": "${caches.sessions.password} ${caches.sessions.port} ${caches.sessions.name} ${caches.sessions.user}"},
    ],
)
def test_what_a_url_tells_may_be_asked_for(variables: dict[str, str]) -> None:
    assert problems_of(with_data(of_web(**variables), data=OUTSIDE)) == []


def test_a_url_that_is_wrong_is_said_once_and_not_for_each_who_asks() -> None:
    data = "databases: {d: {url: 'oracle://h'}}\n"
    problems = problems_of(with_data(of_web(A="${databases.d.user}", B="${databases.d.port}"), data=data))
    assert [problem.split(": ")[1] for problem in problems] == ["databases.d.url"]


def test_a_service_that_fairlead_does_not_run_can_ask_for_nothing() -> None:
    text = with_data("secrets: [KEY]\n" + of_web(A="${caches.sessions.url}"), program="targets: ['127.0.0.1:9000']")
    said = [problem.split(": ", 2)[1:] for problem in problems_of(text)]
    assert [key for key, _ in said] == ["services.web.secrets", "services.web.environment"]
    assert all(reason.startswith("does not go with `targets`") for _, reason in said)


# Secrets


def test_secrets_are_listed_or_named_and_kept_as_references() -> None:
    service = web_of(a_service("secrets: [KEY, TOKEN]\n" + of_web(A="Bearer ${secrets.OTHER}")))
    assert service.environment == {
        "A": "Bearer ${secrets.OTHER}",
        "KEY": "${secrets.KEY}",
        "TOKEN": "${secrets.TOKEN}",
    }
    assert service.secrets == {"OTHER": 0, "KEY": 0, "TOKEN": 0}


def test_what_exists_already_comes_with_its_url_and_the_secrets_in_it() -> None:
    service = web_of(with_data(of_web(A="${databases.store.host}", B="${caches.sessions.url}"), data=OUTSIDE))
    assert service.secrets == {"DB_PASSWORD": 0}
    assert service.external == {
        "store": "postgresql+psycopg://web:${secrets.DB_PASSWORD}@db.internal/shop",
        "sessions": "rediss://:pass%20word@cache.internal",
    }


def test_every_secret_of_a_stack_can_be_found() -> None:
    metric = "custom_metrics: {q: {url: 'http://a.test/?token=${secrets.METRIC}', field: x}}"
    alarm = "alarms: [{when: unhealthy_targets, above: 0, webhook: 'https://a.test/${secrets.HOOK}/${secrets.KEY}'}]\n"
    stack = stack_of(with_data(f"secrets: [KEY]\n{metric}", data=OUTSIDE) + alarm)
    assert stack.secret_names == ("KEY", "METRIC", "HOOK", "DB_PASSWORD")
    assert stack.service("web").secrets == {"KEY": 0}
    assert stack.alarms[0].webhook == "https://a.test/${secrets.HOOK}/${secrets.KEY}"
    assert stack.service("web").custom_metrics[0].url == "http://a.test/?token=${secrets.METRIC}"


@pytest.mark.parametrize(
    "url",
    ["${secrets.HOOK}", "https://${secrets.HOST}:${secrets.HOOK_PORT}/x", "https://a.test/${secrets.A}${secrets.B}"],
)
def test_an_address_that_holds_a_secret_is_judged_only_as_far_as_it_is_known(url: str) -> None:
    alarm = f"alarms: [{{when: unhealthy_targets, above: 0, webhook: '{url}'}}]\n"
    assert stack_of(a_service() + alarm).alarms[0].webhook == url
    (problem,) = problems_of(
        a_service() + alarm.replace("https:", "ftp:").replace("'${secrets.HOOK}'", "'x${secrets.HOOK}'")
    )
    assert problem == "fairlead.yaml:5:55: alarms.0.webhook: must be an address beginning with http:// or https://"


IN_A_COMMAND = "${secrets.KEY} cannot stand in a command, where every user of this machine could read it"
LIST_IT = "write `secrets: [KEY]` in the service: its programs find it in that variable"
ONLY = (
    "${secrets.KEY} can stand only in a service's `environment`, in the `webhook` of an alarm, and in the `url` of a custom metric, "
    "a cache, a database or a bucket; for a value that is no secret write ${env.KEY}"
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (a_service(program="command: x ${secrets.KEY}"), f"4:14: services.web.command: {IN_A_COMMAND}; {LIST_IT}"),
        (a_service("build: [x, 'y ${secrets.KEY}']"), f"5:16: services.web.build.1: {IN_A_COMMAND}; {LIST_IT}"),
        (a_service("before_traffic: x ${secrets.KEY}"), f"5:21: services.web.before_traffic: {IN_A_COMMAND}; {LIST_IT}"),
        (
            a_service("custom_metrics: {q: {command: 'x ${secrets.KEY}'}}"),
            f"5:35: services.web.custom_metrics.q.command: {IN_A_COMMAND}; {LIST_IT}",
        ),
        (
            a_service() + "jobs: {j: {service: web, command: 'x ${secrets.KEY}', cron: '* * * * *'}}",
            f"5:35: jobs.j.command: {IN_A_COMMAND}; {LIST_IT}",
        ),
        (
            a_service() + "alarms: [{when: unhealthy_targets, above: 0, command: 'x ${secrets.KEY}'}]",
            f"5:55: alarms.0.command: {IN_A_COMMAND}; an alarm's `webhook` may hold it",
        ),
        (a_service("health_check: {host: '${secrets.KEY}'}"), f"5:26: services.web.health_check.host: {ONLY}"),
        (a_service("source: ./${secrets.KEY}"), f"5:13: services.web.source: {ONLY}"),
        (a_service() + "databases: {d: {engine: postgres, name: '${secrets.KEY}'}}", f"5:41: databases.d.name: {ONLY}"),
        (
            a_service("secrets: ['${secrets.KEY}']"),
            "5:15: services.web.secrets.0: ${secrets.KEY} is no name of a secret; write KEY",
        ),
        (
            a_service("secrets: [A, KEY]\nenvironment: {KEY: x}"),
            "5:18: services.web.secrets.1: KEY is a variable of `environment` too, and only one of them can hold; keep one of the two",
        ),
        (
            a_service("secrets: [A, UID]"),
            "5:18: services.web.secrets.1: UID cannot be kept secret: shells have a variable of that name; rename it",
        ),
        (
            a_service("environment: {ENV: '${secrets.KEY}'}"),
            "5:24: services.web.environment.ENV: ${secrets.KEY} cannot be kept secret in ENV, which shells have too; rename the variable",
        ),
        (
            a_service("environment: {IFS: '${databases.d.password}'}") + "databases: {d: {engine: postgres}}",
            "5:24: services.web.environment.IFS: ${databases.d.password} cannot be kept secret in IFS, which shells have too; "
            "rename the variable",
        ),
        (
            a_service("environment: '${secrets.KEY}'"),
            '5:18: services.web.environment: must hold keys, not what "${secrets.KEY}" gives; write `{key: value}`, or keys on lines of '
            "their own",
        ),
        (a_service("secrets: [A, A]"), "5:18: services.web.secrets.1: A stands there twice; name each once"),
        (a_service("secrets: [PORT]"), "5:15: services.web.secrets.0: is set by fairlead, so PORT cannot be given another value; remove it"),
        (
            a_service("environment: {A: '${secrets.PORT}'}"),
            "5:22: services.web.environment.A: ${secrets.PORT} names no secret: fairlead sets that variable itself; choose another name",
        ),
        (
            a_service("secrets: [my-key]"),
            '5:15: services.web.secrets.0: must be the name of an environment variable: letters, digits and _, not "my-key"',
        ),
    ],
)  # fmt: skip
def test_a_secret_that_would_be_seen_or_is_no_name_is_refused(text: str, said: str) -> None:
    assert problems_of(text) == [f"fairlead.yaml:{said}"]


def test_a_worker_and_a_socket_are_judged_also_where_an_address_stands_beside() -> None:
    text = with_data(of_web(A="${instance.port} ${caches.sessions.url}"))
    (problem,) = problems_of(text)
    assert problem.endswith("the service web listens on a Unix socket, so it has no port; write ${instance.socket}")
