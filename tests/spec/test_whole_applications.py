"""What makes more than one web service of a file: workers, rules, jobs, alarms, zones, and the way each is built."""

from __future__ import annotations

import pytest

from fairlead.core.model import Alarm, Job, Listener, Rule
from tests.spec.builders import a_balancer, a_service, problems_of, stack_of, web_of

FOUR = """\
name: shop
services:
  web: {app: "shop:app"}
  api: {command: api, after: [web]}
  docs: {command: docs}
  worker: {command: celery, port: none, after: [web, api]}
"""


def a_listener(rules: str, default: str = "default: {forward: web}", services: str = FOUR) -> str:
    return f"{services}load_balancer:\n  listeners:\n    - {{port: 80, rules: [{rules}], {default}}}\n"


EACH = a_listener("{when: {path: /api/*}, forward: api}, {when: {path: /docs}, forward: docs}")


def test_what_a_release_is_built_with_reaches_the_service() -> None:
    text = a_service("""\
build:
  - python manage.py collectstatic --no-input
  - [make, "a b", 3]
before_traffic: python manage.py migrate
max_memory: 512MB
max_lifetime: 7d
deploy: {min_healthy: 50%, max_healthy: 150%, keep_releases: 9}
instances: 2""")
    web = web_of(text)
    assert web.build == (("python", "manage.py", "collectstatic", "--no-input"), ("make", "a b", "3"))
    assert web.before_traffic == ("python", "manage.py", "migrate")
    assert (web.max_memory, web.max_lifetime) == (512_000_000, 604_800.0)
    assert (web.min_healthy, web.max_healthy, web.keep_releases) == (50, 150, 9)


def test_one_build_command_needs_no_list_and_none_is_none() -> None:
    assert web_of(a_service("build: npm ci")).build == (("npm", "ci"),)
    assert web_of(a_service("build: []")).build == ()
    web = web_of(a_service())
    assert (web.build, web.before_traffic, web.after, web.max_memory, web.max_lifetime) == ((), None, (), None, None)
    assert (web.min_healthy, web.max_healthy, web.keep_releases) == (100, 200, 5)


def test_a_worker_serves_nothing_and_starts_after_others() -> None:
    stack = stack_of(EACH)
    assert [(service.name, service.serves, service.after) for service in stack.services] == [
        ("web", True, ()),
        ("api", True, ("web",)),
        ("docs", True, ()),
        ("worker", False, ("web", "api")),
    ]


def test_a_file_of_workers_only_has_no_listener() -> None:
    text = "name: shop\nservices:\n  one: {command: x, port: none}\n  two: {command: y, port: none}\n"
    assert stack_of(text).listeners == ()
    assert stack_of(text + "load_balancer: {address: 0.0.0.0}\n").listeners == ()


def test_the_implicit_listener_forwards_to_the_only_service_with_a_port() -> None:
    text = "name: shop\nservices:\n  worker: {command: x, port: none}\n  web: {command: y}\n"
    assert stack_of(text).listeners == (Listener(port=8080, default="web"),)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            'app: "a:b"\nport: none',
            "5:11: services.web.port: goes only with `command`: `app` is there for requests; "
            "remove it, or write the `command` of a worker",
        ),
        (
            "targets: ['127.0.0.1:80']\nport: none",
            "5:11: services.web.port: goes only with `command`: `targets` is there for requests; "
            "remove it, or write the `command` of a worker",
        ),
        (
            "command: x\nport: none\nhealth_check: {path: /health}",
            "6:19: services.web.health_check: says nothing of a service with `port: none`: it gets no requests and no "
            "checks; remove it; a worker is healthy while it runs",
        ),
        (
            "command: x\nport: none\ntarget_group: {deregistration_delay: 5s}",
            "6:19: services.web.target_group: says nothing of a service with `port: none`: it gets no requests and no "
            "checks; remove it; a worker is healthy while it runs",
        ),
        (
            "command: x ${instance.port}\nport: none",
            "4:14: services.web.command: the service web says `port: none`, so its instances have no port; "
            "remove ${instance.port}, or `port: none`",
        ),
        (
            "command: x\nport: none\nenvironment: {A: 'at ${instance.id} ${instance.socket}'}",
            "6:22: services.web.environment.A: the service web says `port: none`, so its instances have no socket; "
            "remove ${instance.socket}, or `port: none`",
        ),
        (
            "command: x\nport: None",
            '5:11: services.web.port: must be a port from 1 to 65535, or none, not "None"; did you mean none?',
        ),
    ],
)
def test_what_makes_no_sense_for_a_worker_is_refused(lines: str, said: str) -> None:
    problems = [line for line in problems_of(a_service(lines, program="")) if "not supported" not in line]
    assert problems == [f"fairlead.yaml:{said}"]


def test_a_worker_may_know_who_and_where_it_is() -> None:
    text = a_service("port: none\nenvironment: {ZONE: '${instance.zone}'}", program='command: "x ${instance.id}"')
    assert web_of(text).program.argv == ("x", "${instance.id}")  # type: ignore[union-attr]
    assert problems_of(a_service("port: none\nhealth_check: {}\ntarget_group: {}", program="command: x")) == []


def test_rules_reach_the_listener_in_their_order() -> None:
    rules = "{when: {path: [/api/*, /v?]}, forward: api}, {when: {host: docs.example.com}, forward: {docs: 7}}"
    assert stack_of(a_listener(rules)).listeners == (
        Listener(
            port=80,
            default="web",
            rules=(
                Rule(forward="api", paths=("/api/*", "/v?")),
                Rule(forward="docs", hosts=("docs.example.com",)),
            ),
        ),
    )


HOSTS = "{when: {host: [shop.example.com, '*.shop.example.com']}, forward: web}, {when: {host: api.example.com}, forward: api}"
TWO = FOUR.replace("  docs: {command: docs}\n", "")


def test_a_listener_whose_rules_all_name_hosts_needs_no_default() -> None:
    (listener,) = stack_of(a_listener(HOSTS, "", TWO)).listeners
    assert listener.default is None
    assert listener.services == ("web", "api")
    assert [rule.hosts for rule in listener.rules] == [("shop.example.com", "*.shop.example.com"), ("api.example.com",)]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("", "is required; write `default: {forward: SERVICE}`"),
        (
            "{when: {host: a.b}, forward: web}, {when: {path: /a}, forward: api}",
            "is required, since a rule without a `host` condition claims any host; write `default: {forward: SERVICE}`",
        ),
    ],
)
def test_any_other_listener_needs_one(rules: str, said: str) -> None:
    assert problems_of(a_listener(rules, "", TWO)) == [f"fairlead.yaml:8:7: load_balancer.listeners.0.default: {said}"]


def test_a_default_that_is_only_misspelt_is_not_also_missing() -> None:
    (problem,) = problems_of(a_balancer("listeners: [{port: 80, defualt: {forward: web}}]"))
    assert problem.endswith("defualt: is not a key that fairlead knows here; did you mean `default`?")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{when: {path: api}, forward: api}", 'when.path: must be a path that begins with / and holds letters, digits and '
            '_-.$/~@:+& (* and ? stand for others), not "api"; write /api'),
        ('{when: {path: "/a\\nb"}, forward: api}', "when.path: must not hold control characters or line breaks"),
        ('{when: {path: "/\\e[31m"}, forward: api}', "when.path: must not hold control characters or line breaks"),
        ("{when: {path: ['/a', '/%[src]']}, forward: api}", "when.path.1: must be a path that begins"),
        ("{when: {path: '/{x}'}, forward: api}", "when.path: must be a path that begins"),
        ("{when: {path: '/\"'}, forward: api}", "when.path: must be a path that begins"),
        ("{when: {path: '/a''b'}, forward: api}", "when.path: must be a path that begins"),
        ("{when: {host: 'a{b}'}, forward: api}", "when.host: must be a host name without its port"),
        ("{when: {host: '%[src]'}, forward: api}", "when.host: must be a host name without its port"),
        ("{when: {host: 'a.b:80'}, forward: api}", "when.host: must be a host name without its port (* and ? stand for any "
            'characters and for one), not "a.b:80"; write a.b'),
        ("{when: {host: 80}, forward: api}", "when.host: must be text, not 80; put quotes around it"),
        ("{when: {path: [/1, /2, /3, /4, /5, /6]}, forward: api}", "when.path: holds 6, and the most are 5"),
        ("{when: {path: '/*/*/*/*/*/?'}, forward: api}", "when.path: holds more than 5 of * and ?, the most that a rule may "
            "have, as on an ALB; make two rules of it"),
        ("{when: {}, forward: api}", "when: has no condition; add `path`, `host`, `method` or another"),
        ("{when: {paht: /a}, forward: api}", "when.paht: is not a key that fairlead knows here; did you mean `path`?"),
        ("{forward: api}", "when: is required"),
        ("{when: {path: /a}, forward: worker}", "forward: the service worker takes no requests: it says `port: none`; "
            "forward to another service, or give it a port"),
        ("{when: {path: /a}, forward: ap}", 'forward: there is no service "ap"; did you mean api?'),
    ],
)  # fmt: skip
def test_a_rule_is_told_what_is_wrong_with_it(rule: str, said: str) -> None:
    problems = [line for line in problems_of(a_listener(rule)) if "no request could reach it" not in line]
    assert len(problems) == 1 or "has no condition" in said
    assert f"load_balancer.listeners.0.rules.0.{said}" in problems[0]


def test_jobs_reach_the_stack() -> None:
    text = (
        EACH
        + """\
jobs:
  nightly: {service: web, command: python manage.py clearsessions, cron: "0 3 * * *", timezone: Europe/Berlin, timeout: 10m}
  often: {service: worker, command: [sweep, "a b", 7], cron: "*/5 * * * *"}
"""
    )
    assert stack_of(text).jobs == (
        Job(name="nightly", service="web", argv=("python", "manage.py", "clearsessions"), cron="0 3 * * *",
            timezone="Europe/Berlin", timeout=600.0),
        Job(name="often", service="worker", argv=("sweep", "a b", "7"), cron="*/5 * * * *"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ('command: x, cron: "0 3 * * *"', "jobs.j.service: is required"),
        ('service: web, cron: "0 3 * * *"', "jobs.j.command: is required"),
        ('service: wbe, command: x, cron: "0 3 * * *"', 'jobs.j.service: there is no service "wbe"; did you mean web?'),
        ('service: web, command: "x ${instance.id}", cron: "0 3 * * *"', "jobs.j.command: ${instance.id} can stand only in a "
            "service's `command` and `environment`"),
        ('service: web, command: "a | b", cron: "0 3 * * *"', "jobs.j.command: is not given to a shell, so | would reach"),
        ('service: web, command: x, cron: "0 25 * * *"', 'jobs.j.cron: has a field for the hour that crontab does not know: '
            '"0 25 * * *"'),
        ('service: web, command: x, cron: "0 0 30 2 *"', "jobs.j.cron: names a day that no month has, so it would never run"),
        ('service: web, command: x, cron: "@hourly"', "jobs.j.cron: must have five fields"),
        ('service: web, command: x, cron: "0 3 * * *", timezone: Europe/Berln', "jobs.j.timezone: is not a time zone that this "
            'machine knows: "Europe/Berln"; did you mean Europe/Berlin?'),
        ('service: web, command: x, cron: "0 3 * * *", timeout: 10', "jobs.j.timeout: must be a duration such as"),
        ('service: web, command: x, cron: "0 3 * * *", "a\\nb": 1', "jobs.j.a\\nb: is not a key that fairlead knows here"),
    ],
)  # fmt: skip
def test_a_job_is_told_what_is_wrong_with_it(job: str, said: str) -> None:
    (problem,) = problems_of(a_service() + f"jobs: {{j: {{{job}}}}}\n")
    assert said in problem


def test_a_job_needs_a_service_that_fairlead_runs() -> None:
    text = a_service(program="targets: ['127.0.0.1:80']") + 'jobs: {j: {service: web, command: x, cron: "0 3 * * *"}}\n'
    assert problems_of(text)[-1] == (
        "fairlead.yaml:5:21: jobs.j.service: fairlead does not run web, so a job has no release of it to run in; "
        "name a service with `app` or `command`"
    )


@pytest.mark.parametrize("name", ['"a\\nb"', "'a\"b'", "'%[x]'", "'a{}'", '"\\e[31m"', "A", "a_b", "9a", "a" * 33])
@pytest.mark.parametrize(
    "where", ["services: {NAME: {command: x}}", "jobs: {NAME: {service: web, command: x, cron: '* * * * *'}}"]
)
def test_a_name_that_could_do_harm_is_refused_at_its_place(name: str, where: str) -> None:
    services = "" if where.startswith("services") else "services: {web: {command: x}}\n"
    kind = where.partition(":")[0]
    problems = problems_of(f"name: shop\n{services}{where.replace('NAME', name)}\n")
    line = 2 + bool(services)
    assert [
        problem for problem in problems if problem.startswith(f"fairlead.yaml:{line}:{len(kind) + 4}: {kind}.")
    ] == problems
    assert len(problems) == 1
    assert problems[0].isprintable()


def test_alarms_reach_the_stack() -> None:
    text = (
        a_service()
        + """\
alarms:
  - {when: unhealthy_targets, above: 0, for: 2m, webhook: "https://user:word@hooks.example.com/fairlead?a=b"}
  - {when: healthy_targets, below: 1.5, command: [notify, me]}
"""
    )
    assert stack_of(text).alarms == (
        Alarm(metric="unhealthy_targets", comparison="above", level=0.0, lasting=120.0,
              webhook="https://user:word@hooks.example.com/fairlead?a=b"),
        Alarm(metric="healthy_targets", comparison="below", level=1.5, command=("notify", "me")),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("alarm", "said"),
    [
        ("when: unhealthy_target, above: 0, command: x", ".when: must be unhealthy_targets, healthy_targets, cpu, memory, "
            "requests_per_target, outstanding, latency_p50, latency_p95, latency_p99 or custom:NAME, not \"unhealthy_target\"; "
            "did you mean unhealthy_targets?"),
        ("when: healthy_targets, command: x", ": says nothing of the level that matters; add `above` or `below`"),
        ("when: healthy_targets, above: 1, below: 1, command: x", ".below: stands beside `above`, and only one of them"),
        ("when: healthy_targets, below: 60%, command: x", ".below: must be a number, since the metric is healthy_targets"),
        ("when: healthy_targets, below: 1, command: x, webhook: 'http://a'", ".command: stands beside `webhook`, and only one"),
        ("when: healthy_targets, below: 1, webhook: 'hooks.example.com/secret'", ".webhook: must be an address beginning with "
            "http:// or https://"),
        ("when: healthy_targets, below: 1, webhook: 'http:///secret'", ".webhook: must name a host after the //, and a port"),
        ('when: healthy_targets, below: 1, webhook: "http://a/\\r\\nX: y"', ".webhook: must hold no blanks"),
    ],
)  # fmt: skip
def test_an_alarm_is_told_what_is_wrong_with_it_and_its_secrets_stay_secret(alarm: str, said: str) -> None:
    (problem,) = problems_of(a_service() + f"alarms: [{{{alarm}}}]\n")
    assert f"alarms.0{said}" in problem
    assert "secret" not in problem


def test_zones_are_labels_and_there_is_one_unless_the_file_says_more() -> None:
    assert stack_of(a_service()).zones == ("a",)
    assert stack_of(a_service() + "network: {nat: single}").zones == ("a",)
    assert stack_of(a_service() + "network: {zones: 1}").zones == ("a",)
    assert stack_of(a_service() + "network: {zones: 6}").zones == ("a", "b", "c", "d", "e", "f")


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ("instances: 1\ndeploy: {min_healthy: 50%, max_healthy: 150%}", "of 1, `min_healthy` keeps 1 (50%, rounded up) and "
            "`max_healthy` allows 1 (150%, rounded down)"),
        ("instances: 3\ndeploy: {max_healthy: 120%}", "of 3, `min_healthy` keeps 3 (100%, rounded up) and `max_healthy` allows 3 "
            "(120%, rounded down)"),
        ("deploy: {max_healthy: 199%}", "of 1, `min_healthy` keeps 1 (100%, rounded up) and `max_healthy` allows 1 (199%, "
            "rounded down)"),
    ],
)  # fmt: skip
def test_a_deployment_that_could_never_end_is_refused(lines: str, kept: str) -> None:
    (problem,) = problems_of(a_service(lines))
    assert "services.web.deploy.max_healthy: leaves no room to replace an instance: " + kept in problem
    assert problem.endswith("; write `max_healthy: 200%`, or a lower `min_healthy`")


@pytest.mark.parametrize(
    "lines",
    [
        "instances: 1\ndeploy: {min_healthy: 0%, max_healthy: 100%}",
        "instances: 2\ndeploy: {min_healthy: 50%, max_healthy: 100%}",
        "instances: 4\ndeploy: {max_healthy: 125%}",
        "instances: 100\ndeploy: {min_healthy: 99%, max_healthy: 100%}",
    ],
)
def test_a_deployment_with_room_for_one_is_taken(lines: str) -> None:
    assert problems_of(a_service(lines)) == []
