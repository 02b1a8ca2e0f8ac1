"""2,000 files that are wrong in ways that keep them YAML, so that every stage of reading is reached.

Valid files are taken as trees, and changed where a person or a program might: values of the wrong kind, keys swapped
or given twice, names and values that mean something to a terminal, to HAProxy, to a shell or to a formatter.

The laws: a stack that can harm nobody, or a SpecError whose every line is printable, names a place and is short; and
little work, measured as the processor time of this thread.
"""

from __future__ import annotations

import ipaddress
import json
import re
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.core.interpolation import references
from fairlead.core.model import Action, Command, Conditions, Forward, Listener, Redirect, Stack, Targets
from fairlead.core.resources.model import ATTRIBUTES_OF, SECRET_ATTRIBUTES, SECTIONS, Database
from fairlead.errors import SpecError
from fairlead.spec import parse_text
from fairlead.spec.document import Mapping, Node, Scalar, parse
from fairlead.spec.problems import LONGEST, MOST
from tests.spec.builders import FILE
from tests.spec.test_reference_file import REFERENCE
from tests.spec.test_whole_applications import EACH, WHOLE

MOST_SECONDS = 1.0
LONGEST_LINE = 4 * LONGEST
ENV = {
    "SMUGGLE": "${secrets.STOLEN}${databases.store.url}",
    "A": "8080",
    "EVIL": '\x1b[31m${instance.id}\n%[src] "{}',
    "EMPTY": "",
}

DAY_TWO = (
    EACH
    + """\
jobs:
  nightly: {service: web, command: python manage.py clearsessions, cron: "0 3 * * *", timezone: Europe/Berlin, timeout: 10m}
alarms:
  - {when: unhealthy_targets, above: 0, for: 1m, webhook: "https://hooks.example.com/x"}
network: {zones: 2, nat: single}
"""
)

SCALED = """\
name: shop
services:
  web:
    app: "app:app"
    scaling:
      min: 1
      max: 8
      warm_pool: 2
      policies:
        - target: {metric: requests_per_target, value: 100}
          period: 2s
        - step: {metric: latency_p95, threshold: 200ms, steps: [{from: 0, to: 100ms, by: 1}, {from: 100ms, by: 2}]}
      schedule:
        - {name: morning, cron: "0 8 * * mon-fri", timezone: Europe/Berlin, min: 4}
  mail:
    command: python mail.py
    port: none
    scaling: {min: 0, max: 3, policies: [{target: {metric: "custom:queue", value: 10}}]}
    custom_metrics:
      queue: {command: python length.py, every: 2s}
      depth: {url: "http://127.0.0.1:9000/metrics", series: 'depth{queue="a"}'}
"""

WITH_DATA = """\
name: shop
services:
  web:
    app: "app:app"
    secrets: [KEY]
    environment:
      DATABASE_URL: ${databases.store.url}
      SESSIONS: ${caches.sessions.host}:${caches.sessions.port}
      PHOTOS: ${buckets.photos.endpoint} ${buckets.photos.region}
      TOKEN: Bearer ${secrets.TOKEN}
  mail:
    command: mail --host ${databases.store.host} --name ${databases.store.name}
    port: none
    custom_metrics: {queue: {url: "http://127.0.0.1:9000/?key=${secrets.KEY}", field: length}}
caches:
  sessions: {engine: redis, memory: 64MB, persist: true}
databases:
  store: {engine: postgres, name: shop, user: web_user, version: 16}
  old: {url: "mysql+pymysql://web:${secrets.PASSWORD}@db.internal/shop"}
buckets:
  photos: {}
  backups: {url: "s3://backups?region=eu-central-1&endpoint=https://s3.example.com"}
alarms:
  - {when: unhealthy_targets, above: 0, webhook: "https://hooks.example.com/${secrets.HOOK}"}
"""

WORDS = [
    "a\nb", "a\r\nb", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "a\x00b", "\u202eevil", "\u2028", "\ufeff", "é", "\U0001f600",
    'a"b', "a'b", "a`b`", "%[src]", "%[env(PATH)]", "%{+Q}o", "{}", "{value}", "{0}", "{reason}", "{{x}}", "%s", "%n", "$(id)", "`id`", "; rm -rf /",
    "| x", "&& x", "../..", "/etc/passwd", "-x", "--help", "#", "\\", "\\n", "*", "?", "a b", " ", "", "none", "default", "true", "NO",
    "${", "${env.A}", "${env.EVIL}", "${env.EMPTY}", "${env.MISSING}", "${env.MISSING:-x}", "${instance.port}", "${instance.socket}",
    "${instance.id}", "${secrets.X}", "${caches.c.url}", "${${env.A}}", "$PORT", "services", "web", "ID", "__class__", "model_fields", "self",
    "[key]", "tuple", "function-before", "A" * 300, "a" * 5000, "9" * 5000, "0x" + "f" * 50, "1e400", "-0", ".nan", "1_000", "12:30:45", "@daily",
    "#{host}", "#{path}", "#{", "http-request", "/a #{path}", "\\*", "a\\", "*" * 9, "AWSALB", "X: y", "a&b=c", "=", "255.255.255.255/32",
    "10.0.0.0/8", "10.0.0.7:9000", "[::1]:80", "localhost:8080", "a:1", "GRPC", "app_cookie", "HTTPS", "local", "acme", "Europe/Berlin\n", "http://a\r\nHost: b",
    "redis://c", "redis://:p@${secrets.X}", "mysql+x://h/d", "postgres://u:p/q@h", "s3://b", "s3://b?endpoint=${env.EVIL}", "postgres",
    "${databases.store.url}", "${databases.old.password}", "${buckets.photos.host}", "${caches.sessions.region}", "${env.SMUGGLE}", "/a b", "/%zz", "a.b:80", "30s", "90%", "256MB", "0s", "99999999999d",
]  # fmt: skip
RAW = [
    "&a x", "*a", "!!python/object:os.system x", "!!int '3'", "<<", "? x", "|\n   x", ">-\n   x", "[", "{", "]", "}", "[[[[[[]]]]]]",
    "{a: {b: {c: {d: {}}}}}", "[1, 2, {a: b}]", "~", "null", "", "true", "-1", "3.5", "1" * 400, "1e400", ".inf", "2026-11-21", "'", '"', "@x",
    "%YAML", "---", "...", "- x", "\t", "a: b: c", "${env.A}", "${instance.port}", '"${env.EVIL}"', "[" * 40 + "]" * 40,
    "{a: 1, a: 2}", "[" + "x, " * 500 + "]", "0o777", "0x1F", "yes", "!", "&", "*", "\x1b[31m", "\x00", "\x85", '"\\ud800"', '"\\0"',
]  # fmt: skip

Tree = Any
"""What a file is made of here: a list of (key, tree), a list of trees in a tuple, or the text of a scalar."""


def tree_of(node: Node) -> Tree:
    if isinstance(node, Mapping):
        return [(key, tree_of(entry.value)) for key, entry in node.entries.items()]
    if isinstance(node, Scalar):
        return node.text if node.plain and "${" not in node.text else json.dumps(node.text)
    return tuple(tree_of(item) for item in node.items)


def base(text: str) -> Tree:
    root, problems = parse(text, "fairlead.yaml")
    assert root is not None, problems
    return tree_of(root)


BASES = [base(DAY_TWO), base(WHOLE), base(SCALED), base(WITH_DATA), base(REFERENCE.read_text(encoding="utf-8"))]


def written(tree: Tree, indent: int = 0) -> str:
    """The tree as YAML, keys on lines of their own."""
    if isinstance(tree, str):
        return " " + tree
    if not tree:
        return " {}" if isinstance(tree, list) else " []"
    pad = "\n" + " " * indent
    if isinstance(tree, list):
        return "".join(f"{pad}{quoted(key)}:{written(value, indent + 1)}" for key, value in tree)
    return "".join(f"{pad}-{written(value, indent + 1)}" for value in tree)


def quoted(key: str) -> str:
    return (
        key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", key) else key if key in RAW and key != "*" else json.dumps(key)
    )


def paths(tree: Tree, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    found = [path]
    if isinstance(tree, (list, tuple)):
        for index, each in enumerate(tree):
            found += paths(each[1] if isinstance(tree, list) else each, (*path, index))
    return found


def at(tree: Tree, path: tuple[int, ...]) -> Tree:
    for index in path:
        tree = tree[index][1] if isinstance(tree, list) else tree[index]
    return tree


def with_value(tree: Tree, path: tuple[int, ...], value: Tree) -> Tree:
    if not path:
        return value
    index, *rest = path
    if isinstance(tree, list):
        key, old = tree[index]
        return [*tree[:index], (key, with_value(old, tuple(rest), value)), *tree[index + 1 :]]
    return (*tree[:index], with_value(tree[index], tuple(rest), value), *tree[index + 1 :])


words = st.one_of(st.sampled_from(WORDS), st.text(max_size=12))
scalars = st.one_of(
    words.map(json.dumps), words.map(json.dumps), st.sampled_from(RAW), st.integers(-(10**20), 10**20).map(str)
)


@st.composite
def mutated(draw: st.DrawFn) -> Tree:
    """A valid file's tree with one to four changes."""
    tree = draw(st.sampled_from([*BASES[:-1], *BASES]))
    for _ in range(draw(st.integers(1, 4))):
        spots = paths(tree)[1:]
        if not spots:
            return tree
        path = draw(st.sampled_from(spots))
        value = at(tree, path)
        above = at(tree, path[:-1])
        change = draw(
            st.sampled_from(
                ["scalar", "swap", "wrap", "drop", "empty"] + ["rename", "double"] * isinstance(above, list)
            )
        )
        if change == "scalar":
            tree = with_value(tree, path, draw(scalars))
        elif change == "swap":
            other = draw(st.sampled_from(spots))
            moved = at(tree, other)
            tree = with_value(tree, path, moved)
            if other[: len(path)] != path and path[: len(other)] != other:
                tree = with_value(tree, other, value)
        elif change == "wrap":
            for _ in range(draw(st.sampled_from([1, 1, 2, 40]))):
                value = (
                    draw(st.sampled_from([[("x", value)], (value,), (value, value)]))
                    if len(str(value)) < 3000
                    else (value,)
                )
            tree = with_value(tree, path, value)
        elif change == "drop":
            tree = with_value(
                tree, path[:-1], type(above)([each for index, each in enumerate(above) if index != path[-1]])
            )
        elif change == "empty":
            tree = with_value(tree, path, draw(st.sampled_from([[], (), "", '""'])))
        else:
            key, _ = above[path[-1]]
            new = draw(words) if change == "rename" else key
            kept = [*above[: path[-1]], (new, value), *above[path[-1] + (change == "rename") :]]
            tree = with_value(tree, path[:-1], kept)
    return tree


def judged(text: str) -> Stack | SpecError:
    """What reading gives; anything else that it raises ends the test."""
    result, took = timed(text)
    if took >= MOST_SECONDS:
        # The collector may have gone through all that this process holds meanwhile.
        result, took = timed(text)
    assert took < MOST_SECONDS, "reading takes little work"
    return result


def timed(text: str) -> tuple[Stack | SpecError, float]:
    """What reading gives, and the seconds of work that it took."""
    began = time.thread_time()
    try:
        result: Stack | SpecError = parse_text(text, FILE, ENV)
    except SpecError as error:
        result = error
    return result, time.thread_time() - began


def assert_speakable(error: SpecError) -> None:
    for sentence in (error.what, error.next_step):
        assert sentence
        assert sentence.isprintable()
    assert 0 < len(error.problems) <= MOST + 1
    for line in error.problems:
        assert line.isprintable(), line
        assert len(line) <= LONGEST_LINE, line
        assert re.match(r"fairlead\.yaml:[1-9]\d*:[1-9]\d*: .", line) or re.fullmatch(r"and \d+ more", line), line


def assert_harmless(stack: Stack) -> None:
    """What will stand in a configuration of HAProxy, in a path of the home, or on a terminal."""
    name = re.compile(r"[a-z][a-z0-9-]{0,31}")
    names = [stack.name, *(service.name for service in stack.services), *(job.name for job in stack.jobs), *stack.zones]
    names += [other for service in stack.services for other in service.after]
    names += [service for listener in stack.listeners for service in listener.services]
    assert all(name.fullmatch(each) for each in names), names
    sent = [service.health_check.path for service in stack.services] + [
        service.health_check.host for service in stack.services
    ]
    rules = [rule for listener in stack.listeners for rule in listener.rules]
    sent += [value for rule in rules for value in (*rule.when.paths, *rule.when.hosts)]
    assert not [value for value in sent if re.search(r"[^\x21-\x7e]|[\"'\\{}`#<>|^]|%(?![0-9A-Fa-f]{2})", value)]
    for rule in rules:
        assert_harmless_conditions(rule.when)
    for listener in stack.listeners:
        assert 1 <= listener.port <= 65535
        assert listener.default or all(rule.when.hosts for rule in listener.rules)
        assert (listener.protocol == "HTTPS") == (listener.certificates is not None)
        for action in listener.actions:
            assert_harmless_action(action, stack, listener)
        for certificate in listener.certificates if isinstance(listener.certificates, tuple) else ():
            assert certificate.file.startswith("/")
            assert certificate.key.startswith("/")
            assert certificate.file.isprintable()
            assert certificate.key.isprintable()
    for service in stack.services:
        group = service.target_group
        assert group.stickiness is None or group.algorithm != "weighted_random"
        assert group.stickiness is None or re.fullmatch(r"(?!AWSALB)[!-~]{1,128}", group.stickiness.cookie or "SESSION")
        for address in service.program.addresses if isinstance(service.program, Targets) else ():
            host, _, port = address.rpartition(":")
            assert ipaddress.ip_address(host.strip("[]"))
            assert 1 <= int(port) <= 65535
    for service in stack.services:
        texts = [*service.environment, *service.environment.values(), service.source, *(service.before_traffic or ())]
        texts += [word for command in service.build for word in command]
        assert not [text for text in texts if "\0" in text or "\x1b" in text]
        most = 1000 if isinstance(service.program, Targets) else 100
        assert 0 <= service.minimum <= service.desired <= service.maximum <= most
        assert service.scaling or service.minimum == service.maximum >= 1
        texts = [
            text
            for one in service.custom_metrics
            for text in (*(one.argv or ()), one.url, one.field, one.series)
            if text
        ]
        assert not [text for text in texts if "\0" in text or "\x1b" in text]
    assert all(key.isprintable() for key in stack.unenforced)
    assert_harmless_data(stack)


def assert_harmless_data(stack: Stack) -> None:
    """Names that every server takes, no secret in a command, and nothing that only a variable brought in."""
    known = {one.id: SECTIONS[one.kind] for one in stack.resources}
    assert len(known) == len(stack.resources)
    assert not known.keys() & {service.name for service in stack.services}
    for one in stack.resources:
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,31}", one.id)
        assert one.url is None or re.fullmatch(r"[\x21-\x7e]{1,2048}", one.url)
        if isinstance(one, Database) and one.url is None:
            assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", one.name)
            assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", one.user)
    for service in stack.services:
        argv = service.program.argv if isinstance(service.program, Command) else ()
        for text in (*argv, *service.environment.values()):
            for kind, name, *attribute in references(text):
                assert kind == "secrets" or (known[name] == kind and attribute[0] in ATTRIBUTES_OF[kind])
                assert text not in argv or (kind != "secrets" and attribute[0] not in SECRET_ATTRIBUTES)
    assert "STOLEN" not in stack.secret_names
    assert all(set(service.secrets) <= set(stack.secret_names) for service in stack.services)


def assert_harmless_conditions(when: Conditions) -> None:
    """At most an ALB's values and wildcards, each of ASCII that can be seen, and what it can match."""
    assert when != Conditions()
    headers = [value for _, values in when.headers for value in values]
    queries = [text for key, values in when.queries for text in (key, *values)]
    counted = [*when.paths, *when.hosts, *headers, *(value for _, values in when.queries for value in values)]
    assert len(counted) + len(when.methods) + len(when.source_ips) <= 5
    wild = [*when.paths, *when.hosts, *headers, *(re.sub(r"\\[*?]", "", text) for text in queries)]
    assert sum(text.count("*") + text.count("?") for text in wild) <= 5
    assert all(re.fullmatch(r"[A-Z_-]{1,40}", method) for method in when.methods)
    assert all(
        re.fullmatch(r"[!#$%&+.^_`|~0-9A-Za-z-]{1,40}", name) and name.lower() != "host" for name, _ in when.headers
    )
    assert all(re.fullmatch(r"[!-~]([ -~]{0,126}[!-~])?", value) for value in headers)
    assert all(re.fullmatch(r"[!-~]{0,128}", text) and not set(text) & set("&#") for text in queries)
    assert all(values and "=" not in key and all(values) for key, values in when.queries)
    assert all(ipaddress.ip_network(network) for network in when.source_ips)


def assert_harmless_action(action: Action, stack: Stack, listener: Listener) -> None:
    """Services that exist, an address that is one and is another, an answer that can be sent."""
    if isinstance(action, Forward):
        assert all(stack.service(name).serves and 0 <= weight <= 999 for name, weight in action.weights)
        assert any(weight for _, weight in action.weights)
        assert action.stickiness is None or len(action.weights) > 1
        speaks = {stack.service(name).target_group.protocol for name in action.services}
        assert listener.protocol == "HTTPS" or speaks == {"HTTP1"}
    elif isinstance(action, Redirect):
        assert any(part is not None for part in (action.protocol, action.host, action.port, action.path))
        assert (listener.protocol, action.protocol) != ("HTTPS", "HTTP")
        address = f"{action.host or ''}{action.path or '/'}?{action.query or ''}"
        rest = re.sub(r"#\{(protocol|host|port|path|query)\}", "", address)
        assert re.fullmatch(r"([A-Za-z0-9._~!$&()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*", rest), address
    else:
        assert action.status // 100 in (2, 4, 5)
        assert len(action.body) <= 1024
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", action.body)


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(mutated())
def test_a_malformed_file_gives_one_harmless_stack_or_sentences_that_can_be_said(tree: Tree) -> None:
    result = judged(written(tree).lstrip("\n"))
    if isinstance(result, SpecError):
        assert_speakable(result)
    else:
        assert_harmless(result)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(BASES), words, words, words)
def test_names_from_outside_are_refused_at_their_place(tree: Tree, service: str, job: str, host: str) -> None:
    """Beside the random places above: always a name, and always in each of the places that go furthest."""
    text = (
        f"name: shop\nservices:\n  {json.dumps(service)}: {{command: x}}\n"
        f"jobs:\n  {json.dumps(job)}: {{service: {json.dumps(service)}, command: x, cron: '* * * * *'}}\n"
        f"load_balancer:\n  listeners:\n  - port: 80\n    rules: [{{when: {{host: {json.dumps(host)}}}, "
        f"forward: {json.dumps(service)}}}]\n    default: {{forward: {json.dumps(service)}}}\n"
    )
    result = judged(text)
    if isinstance(result, SpecError):
        assert_speakable(result)
        wrong = [name for name in (service, job) if not re.fullmatch("[a-z][a-z0-9-]{0,31}", name)]
        assert (
            wrong
            or not re.fullmatch("[A-Za-z0-9_.*?-]{1,128}", host)
            or host[0] in ".-"
            or host[-1] in ".-"
            or host.count("*") > 5
        )
    else:
        assert_harmless(result)


def test_the_files_that_are_changed_are_valid_and_reach_every_stage() -> None:
    for valid in BASES[:-1]:
        stack = judged(written(valid).lstrip("\n"))
        assert isinstance(stack, Stack), stack
        assert_harmless(stack)
    error = judged(written(BASES[-1]).lstrip("\n"))
    assert isinstance(error, SpecError)
    assert all("not supported by this version" in problem for problem in error.problems)


def test_what_is_costly_to_look_up_is_looked_up_a_bounded_number_of_times() -> None:
    jobs = "".join(
        f"  j{n}: {{service: wbe, command: x, cron: '0 0 * * *', timezone: Europe/Berln{n}}}\n" for n in range(1000)
    )
    for text in (
        f"name: shop\nservices: {{web: {{command: x}}}}\njobs:\n{jobs}",
        f"name: shop\nservices: {{web: {{command: x}}}}\njobs:\n{jobs[: jobs.index('  j100:')]}",
        DAY_TWO + "caches:\n" + "".join(f"  c{n}: {{engnie: redis, when: x, url{n}: y}}\n" for n in range(1500)),
        "name: shop\nservices:\n"
        + "".join(f"  s{n}: {{command: x, after: [{', '.join(f's{m}' for m in range(50))}]}}\n" for n in range(50)),
    ):
        result = judged(text)
        assert isinstance(result, SpecError)
        assert_speakable(result)
