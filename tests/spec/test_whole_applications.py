"""What makes more than one web service of a file: workers, rules, jobs, alarms, zones, and the way each is built."""

from __future__ import annotations

import pytest

from fairlead.core.model import (
    Alarm,
    Certificate,
    Conditions,
    Forward,
    HealthCheck,
    Job,
    Listener,
    LoadBalancerAttributes,
    Redirect,
    Respond,
    Rule,
    Stickiness,
    TargetGroupAttributes,
    Targets,
    forward_to,
)
from fairlead.core.rules import Request, action_for
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


WHOLE = """\
name: shop
services:
  web: {app: "shop:app", instances: 2, target_group: {stickiness: {type: lb_cookie, duration: 2h}}}
  web-next: {app: "shop:app", target_group: {stickiness: {type: lb_cookie}, slow_start: 30s, connect_timeout: 1s}}
  chat:
    command: chat --port ${instance.port}
    target_group: {protocol: GRPC, algorithm: weighted_random, anomaly_mitigation: true, unsafe_methods: pooled}
    health_check: {port: 9100}
  pay: {command: pay, target_group: {stickiness: {type: app_cookie, cookie: SESSION}}, health_check: {protocol: TCP}}
  legacy:
    targets: ["10.0.0.7:9000", "[::1]:9000", "localhost:9001"]
    health_check: {enabled: false}
    target_group: {algorithm: least_outstanding_requests}
  report: {command: report, after: [legacy], port: none}
load_balancer:
  address: 0.0.0.0
  idle_timeout: 2m
  client_keep_alive: 2h
  forwarded_for: remove
  desync_mitigation: strictest
  drop_invalid_headers: true
  preserve_host: false
  listeners:
    - port: 80
      default:
        redirect: {protocol: HTTPS, port: 443, host: "#{host}", path: "/#{path}", query: "#{query}", status: 301}
    - port: 443
      protocol: HTTPS
      certificates: [{file: cert.pem, key: /etc/key.pem}, {file: ../b.pem, key: b/../b.key}]
      rules:
        - when: {path: /old/*, host: ["*.example.com"], method: GET, header: {X-Debug: 1}, source_ip: 10.1.2.3}
          respond: {status: 404, content_type: application/json, body: "{}\\n"}
        - when: {query: {"*": 'a\\*b', page: [1, two]}, source_ip: [10.0.0.0/8, "::1"]}
          forward: {web: 90, web-next: 10}
          stickiness: 1h
        - {when: {path: "/chat.*/*"}, forward: chat}
        - {when: {method: [GET, HEAD], header: {X-A: ["a*", "b"], x-a: c}}, forward: {legacy: 5, chat: 0}}
        - {when: {path: "/pay"}, forward: pay}
        - {when: {path: "/o"}, redirect: {host: "www.#{host}", path: "/n/#{path}", query: "", status: 302}}
      default: {forward: web}
    - {port: 8443, protocol: HTTPS, certificates: local, default: {respond: {status: 503}}}
"""
"""All that a load balancer does, in one file."""

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
    assert stack_of(text + "load_balancer: {}\n").listeners == ()
    answer = "load_balancer: {listeners: [{port: 80, default: {respond: {status: 404}}}]}\n"
    assert len(stack_of(text + answer).listeners) == 1


def test_keys_of_a_load_balancer_that_has_no_listener_are_refused() -> None:
    text = (
        "name: shop\nservices:\n  one: {command: x, port: none}\nload_balancer: {address: 0.0.0.0, idle_timeout: 5s}\n"
    )
    reason = (
        "says nothing: no service of this file takes requests, so it has no listener; remove it, or add `listeners`"
    )
    assert problems_of(text) == [
        f"fairlead.yaml:4:17: load_balancer.address: {reason}",
        f"fairlead.yaml:4:35: load_balancer.idle_timeout: {reason}",
    ]


def test_the_implicit_listener_forwards_to_the_only_service_with_a_port() -> None:
    text = "name: shop\nservices:\n  worker: {command: x, port: none}\n  web: {command: y}\n"
    assert stack_of(text).listeners == (Listener(port=8080, default=forward_to("web")),)


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
            default=forward_to("web"),
            rules=(
                Rule(when=Conditions(paths=("/api/*", "/v?")), then=forward_to("api")),
                Rule(when=Conditions(hosts=("docs.example.com",)), then=forward_to("docs")),
            ),
        ),
    )


HOSTS = "{when: {host: [shop.example.com, '*.shop.example.com']}, forward: web}, {when: {host: api.example.com}, forward: api}"
TWO = FOUR.replace("  docs: {command: docs}\n", "")


def test_a_listener_whose_rules_all_name_hosts_needs_no_default() -> None:
    (listener,) = stack_of(a_listener(HOSTS, "", TWO)).listeners
    assert listener.default is None
    assert listener.services == ("web", "api")
    assert [rule.when.hosts for rule in listener.rules] == [
        ("shop.example.com", "*.shop.example.com"),
        ("api.example.com",),
    ]


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
        ("{when: {path: [/1, /2, /3], method: [GET, HEAD, PUT]}, forward: api}", "when: holds 6 values in all, and a rule may have "
            "5, as on an ALB; make two rules of it"),
        ("{when: {header: {A: [a, b]}, query: {c: d, e: f}, source_ip: [10.0.0.0/8, '::1']}, forward: api}", "when: holds 6 values "
            "in all, and a rule may have 5"),
        ("{when: {header: {A: '***'}, query: {'b*': '**'}}, forward: api}", "when.header: holds more than 5 of * and ?, the most "
            "that a rule may have"),
        ("{when: {method: get}, forward: api}", 'when.method: must be a method in capital letters, as in GET, not "get"; write GET'),
        ("{when: {header: {Host: a}}, forward: api}", "when.header.Host: is what the condition `host` is for; write `when: {host"),
        ("{when: {header: {A: ''}}, forward: api}", "when.header.A: must not be empty"),
        ("{when: {header: {}}, forward: api}", "when.header: is empty; write at least one"),
        ("{when: {query: {a: 'b c'}}, forward: api}", "when.query.a: must be a parameter's value, encoded as in the request"),
        ("{when: {query: a}, forward: api}", 'when.query: must hold keys, not "a"; write `{key: value}`'),
        ("{when: {source_ip: 10.1.0.0/8}, forward: api}", "when.source_ip: must be a network such as 10.0.0.0/16, its host bits "
            'zero, or an address, not "10.1.0.0/8"; write 10.0.0.0/8'),
        ("{when: {source_ip: 255.255.255.255/32}, forward: api}", "when.source_ip: is no client's address"),
        ("{when: {ip: 10.0.0.0/8}, forward: api}", "when.ip: is not a key that fairlead knows here; did you mean `source_ip`?"),
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


def test_listeners_reach_the_stack() -> None:
    http, https, closed = stack_of(WHOLE).listeners
    assert http == Listener(
        port=80, address="0.0.0.0", default=Redirect(status=301, protocol="HTTPS", port=443)
    )  # What stays as it is, is left out.
    assert (https.port, https.protocol, https.default) == (443, "HTTPS", forward_to("web"))
    assert https.certificates == (
        Certificate(file="/srv/shop/cert.pem", key="/etc/key.pem"),
        Certificate(file="/srv/b.pem", key="/srv/shop/b.key"),
    )
    assert (closed.certificates, closed.default) == ("local", Respond(status=503, content_type="text/plain", body=""))


def test_conditions_and_actions_reach_the_stack() -> None:
    _, https, _ = stack_of(WHOLE).listeners
    assert https.rules == (
        Rule(
            when=Conditions(
                paths=("/old/*",), hosts=("*.example.com",), methods=("GET",), headers=(("X-Debug", ("1",)),),
                source_ips=("10.1.2.3/32",),
            ),
            then=Respond(status=404, content_type="application/json", body="{}\n"),
        ),
        Rule(
            when=Conditions(queries=(("", ("a\\*b",)), ("page", ("1", "two"))), source_ips=("10.0.0.0/8", "::1/128")),
            then=Forward(weights=(("web", 90), ("web-next", 10)), stickiness=3600.0),
        ),
        Rule(when=Conditions(paths=("/chat.*/*",)), then=forward_to("chat")),
        Rule(
            when=Conditions(methods=("GET", "HEAD"), headers=(("X-A", ("a*", "b")), ("x-a", ("c",)))),
            then=Forward(weights=(("legacy", 5), ("chat", 0))),
        ),
        Rule(when=Conditions(paths=("/pay",)), then=forward_to("pay")),
        Rule(when=Conditions(paths=("/o",)), then=Redirect(status=302, host="www.#{host}", path="/n/#{path}", query="")),
    )  # fmt: skip


def test_the_rules_of_the_file_choose_as_an_alb_would() -> None:
    _, https, _ = stack_of(WHOLE).listeners
    asked = [
        (
            Request(path="/old/a", host="x.example.com", headers=(("x-debug", "1"),), source="10.1.2.3"),
            https.rules[0].then,
        ),
        (Request(path="/old/a", host="x.example.com", headers=(("x-debug", "1"),), source="10.1.2.4"), https.default),
        (Request(query="any=A*B&page=TWO", source="10.9.9.9"), https.rules[1].then),
        (Request(query="any=a-b&page=1", source="10.9.9.9"), https.default),
        (Request(headers=(("X-A", "abc"), ("X-A", "C"))), https.rules[3].then),
        (Request(headers=(("X-A", "abc"),)), https.default),
    ]
    assert [action_for(https, request) for request, _ in asked] == [action for _, action in asked]


def test_what_is_said_of_the_whole_balancer_reaches_the_stack() -> None:
    assert stack_of(WHOLE).attributes == LoadBalancerAttributes(
        idle_timeout=120.0, client_keep_alive=7200.0, forwarded_for="remove", desync_mitigation="strictest",
        drop_invalid_headers=True, preserve_host=False,
    )  # fmt: skip


def test_target_groups_reach_the_stack() -> None:
    stack = stack_of(WHOLE)
    groups = {service.name: service.target_group for service in stack.services}
    assert groups["web"] == TargetGroupAttributes(stickiness=Stickiness(duration=7200.0))
    assert groups["web-next"] == TargetGroupAttributes(stickiness=Stickiness(), slow_start=30.0, connect_timeout=1.0)
    assert groups["chat"] == TargetGroupAttributes(
        protocol="GRPC", algorithm="weighted_random", anomaly_mitigation=True, unsafe_methods="pooled"
    )
    assert groups["pay"] == TargetGroupAttributes(stickiness=Stickiness(cookie="SESSION"))
    assert groups["legacy"] == TargetGroupAttributes(algorithm="least_outstanding_requests")
    checks = {service.name: service.health_check for service in stack.services}
    assert checks["chat"] == HealthCheck(protocol="GRPC", port=9100, path="/AWS.ALB/healthcheck", matcher="12")
    assert checks["pay"] == HealthCheck(protocol="TCP")
    assert checks["legacy"] == HealthCheck(enabled=False)


@pytest.mark.parametrize(
    ("check", "path", "matcher"),
    [("{}", "/AWS.ALB/healthcheck", "12"), ("{path: /grpc.health.v1.Health/Check, matcher: 0}", "/grpc.health.v1.Health/Check", "0"),
     ("{matcher: 0-99}", "/AWS.ALB/healthcheck", "0-99")],
)  # fmt: skip
def test_a_grpc_service_is_asked_as_an_alb_asks_it(check: str, path: str, matcher: str) -> None:
    text = a_service(f"target_group: {{protocol: GRPC}}\nhealth_check: {check}", program="command: x")
    text += "load_balancer: {listeners: [{port: 443, protocol: HTTPS, certificates: local, default: {forward: web}}]}\n"
    asked = web_of(text).health_check
    assert (asked.path, asked.matcher) == (path, matcher)
    assert "since `target_group.protocol` is GRPC" in problems_of(text.replace(check, "{matcher: 200}"))[0]


def test_the_addresses_of_targets_are_the_size_of_their_service() -> None:
    legacy = stack_of(WHOLE).service("legacy")
    assert legacy.program == Targets(addresses=("10.0.0.7:9000", "[::1]:9000", "127.0.0.1:9001"))
    assert (legacy.minimum, legacy.desired, legacy.maximum, legacy.runs) == (3, 3, 3, False)


def test_one_service_with_any_weight_is_the_same_as_that_service() -> None:
    one, other = (
        a_balancer(f"listeners: [{{port: 80, default: {{forward: {what}}}}}]") for what in ("web", "{web: 7}")
    )
    assert stack_of(one).listeners == stack_of(other).listeners


@pytest.mark.parametrize(
    "line",
    [
        "image: x", "dockerfile: x", "source: .", 'python: "3.12"', "build: make", "before_traffic: x", "environment: {A: b}",
        "secrets: [A]", "resources: {cpu: 1}", "max_memory: 1GB", "max_lifetime: 1d", "scaling: {max: 2}", "instances: 2",
        "custom_metrics: {}", "deploy: {bake: 5s}", "user_data: x", "after: []", "port: 8000",
        "health_check: {grace_period: 1s}", "health_check: {replace_unhealthy: false}",
    ],
)  # fmt: skip
def test_what_says_how_instances_are_run_does_not_go_with_targets(line: str) -> None:
    problems = problems_of(a_service(line, program="targets: ['127.0.0.1:9000']"))
    (problem,) = [one for one in problems if "not supported" not in one]
    key = line.partition(":")[0]
    assert problem.startswith("fairlead.yaml:5:")
    assert f"services.web.{key}" in problem
    assert "targets" in problem
    assert "; remove" in problem


def test_all_that_does_not_go_with_targets_is_said_at_once_and_each_once() -> None:
    text = a_service("build: x\nenvironment: {A: b}\ninstances: 2", program="targets: ['127.0.0.1:9000']")
    assert problems_of(text) == [
        f"fairlead.yaml:{place}: services.web.{key}: does not go with `targets`: fairlead does not run them, and {why}; "
        f"remove `{key}`, or write a `command` instead of `targets`"
        for place, key, why in (
            ("5:12", "build", "nothing is built or run"), ("6:18", "environment", "nothing is built or run"),
            ("7:16", "instances", "the size is the number of addresses"),
        )
    ]  # fmt: skip


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
