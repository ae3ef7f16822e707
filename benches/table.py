"""The table: what is compared with what, which bounds hold, and how it is printed."""

import datetime
import glob
import os
import platform
import re
import statistics
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAMES = {
    "c-epoll": "C epoll", "c-cgi": "C, static", "libfcgi": "libfcgi", "crate": "crate fastcgi", "php-fpm": "PHP-FPM",
    "php-cgi": "php-cgi", "flask": "Flask", "webpy": "web.py", "nginx": "nginx return 200",
}
# How a figure is written.
RATE, TIME, SHORT, START, MEMORY, COUNT = "{:,.0f}/s", "{:,.0f} µs", "{:.1f} µs", "{:.2f} ms", "{:.2f} MiB", "{:,.0f}"


def at_least(must, aim=None, beside=None, called=None):
    return ("≥", must, aim, beside, called)


def at_most(must, aim=None, beside=None, called=None):
    return ("≤", must, aim, beside, called)


def for_comparison(beside, called=None):
    return ("", None, None, beside, called)


# Group, title, how the figure is written, our figure (kind, server, field), and the bounds: must, aim, and whose figure
# ours is divided by; without one the figure itself is bounded.
ROWS = [
    ("kept", "nginx, connections kept", RATE, ("kept", "wxcgi", "rps"), [
        at_least(0.85, 0.92, ("kept", "c-epoll", "rps")),
        at_least(1.4, None, ("kept", "libfcgi", "rps")),
        at_least(4.3, None, ("unkept", "php-fpm", "rps")),
    ]),
    ("unkept", "nginx, a connection a request", RATE, ("unkept", "wxcgi", "rps"), [
        at_least(0.90, 0.97, ("unkept", "c-epoll", "rps")),
        at_least(1.2, None, ("unkept", "libfcgi", "rps")),
    ]),
    ("secure", "nginx, connections kept, secure", RATE, ("secure", "wxcgi", "rps"), [
        at_least(0.75, 0.85, ("kept", "c-epoll", "rps"), "C epoll, plain"),
        at_least(4.4, None, ("secure-unkept", "php-fpm", "rps"), "PHP-FPM, secure"),
    ]),
    ("direct", "direct over the socket", RATE, ("direct", "wxcgi", "rps"), [
        at_least(0.50, 0.65, ("direct", "c-epoll", "rps")),
    ]),
    ("direct", "direct over the socket, secure", RATE, ("direct-secure", "wxcgi", "rps"), [
        at_least(0.38, 0.5, ("direct", "c-epoll", "rps"), "C epoll, plain"),
    ]),
    ("cpu", "CPU a request", SHORT, ("kept", "wxcgi", "cpu"), [
        at_most(2.0, 1.6, ("kept", "c-epoll", "cpu")),
    ]),
    ("cpu", "CPU a request, secure", SHORT, ("secure", "wxcgi", "cpu"), [
        at_most(2.8, 2.2, ("kept", "c-epoll", "cpu"), "C epoll, plain"),
    ]),
    ("one", "one connection: p50", TIME, ("one", "wxcgi", "p50"), [
        at_most(1.10, 1.05, ("one", "c-epoll", "p50")),
        at_most(0.5, None, ("one-unkept", "php-fpm", "p50")),
    ]),
    ("p99", "32 connections: p99", TIME, ("kept", "wxcgi", "p99"), [
        at_most(1.4, 1.2, ("kept", "c-epoll", "p99")),
    ]),
    ("many", "1,000 connections", RATE, ("many", "wxcgi", "rps"), [at_least(0.9, None, ("many", "c-epoll", "rps"))]),
    ("many", "1,000 connections: p99", TIME, ("many", "wxcgi", "p99"), [
        at_most(1.25, None, ("many", "c-epoll", "p99")),
    ]),
    ("many", "1,000 connections: errors", COUNT, ("many", "wxcgi", "errors"), [at_most(0)]),
    ("many", "1,000 connections: served", COUNT, ("many", "wxcgi", "served"), [at_least(1000)]),
    ("memory", "memory (PSS), idle", MEMORY, ("kept", "wxcgi", "idle"), [at_most(2, 1.4)]),
    ("memory", "memory (PSS), after load", MEMORY, ("kept", "wxcgi", "after"), [at_most(3, 2.1)]),
    ("memory", "memory, 1,000 connections", MEMORY, ("memory", "wxcgi", "pss"), [at_most(8, 6)]),
    ("start", "exec to first answer by nginx", START, ("start", "wxcgi", "ms"), [
        at_most(4, 3),
        for_comparison(("start", "c-epoll", "ms")),
    ]),
    ("hand", "CGI by hand, 20 rules", TIME, ("hand", "wxcgi", "wxcgi"), [
        at_most(1.40, 1.25, ("hand", "wxcgi", "c"), "C, static"),
        at_most(1 / 33, None, ("hand-peer", "php-cgi", "µs")),
    ]),
    ("apache", "CGI under Apache", RATE, ("apache", "wxcgi", "rps"), [
        at_least(0.88, 0.93, ("apache", "c-cgi", "rps")),
        at_least(14, None, ("apache", "php-cgi", "rps")),
    ]),
    ("apache", "Apache, one connection: p50", TIME, ("apache-one", "wxcgi", "p50"), [
        at_most(1.20, 1.12, ("apache-one", "c-cgi", "p50")),
    ]),
    ("rules", "CGI, 1,000 rules: first meets", TIME, ("hand", "wxcgi", "first"), [
        at_most(1.5, 1.2, ("hand", "wxcgi", "wxcgi"), "wxcgi, 20 rules"),
    ]),
    ("rules", "CGI, 1,000 rules: last meets", TIME, ("hand", "wxcgi", "last"), [
        at_most(3, 2, ("hand", "wxcgi", "wxcgi"), "wxcgi, 20 rules"),
    ]),
    ("rules", "CGI, 1,000 rules: none meets", TIME, ("hand", "wxcgi", "none"), [
        at_most(3, 2, ("hand", "wxcgi", "wxcgi"), "wxcgi, 20 rules"),
    ]),
    ("peers", "nginx, beside others", RATE, ("kept", "wxcgi", "rps"), [
        for_comparison(("kept", "nginx", "rps")),
        for_comparison(("kept", "crate", "rps")),
        for_comparison(("unkept", "flask", "rps")),
    ]),
    ("peers", "CPU a request, beside others", SHORT, ("kept", "wxcgi", "cpu"), [
        for_comparison(("kept", "libfcgi", "cpu")),
        for_comparison(("kept", "crate", "cpu")),
        for_comparison(("unkept", "php-fpm", "cpu")),
        for_comparison(("unkept", "flask", "cpu")),
    ]),
    ("peers", "CGI by hand, beside others", TIME, ("hand", "wxcgi", "wxcgi"), [
        for_comparison(("hand-peer", "webpy", "µs")),
    ]),
    ("peers", "Apache, beside others", RATE, ("apache", "wxcgi", "rps"), [
        for_comparison(("apache", "webpy", "rps")),
    ]),
]


def groups():
    return list(dict.fromkeys(row[0] for row in ROWS))


def plan(chosen):
    """What is to be measured for these groups: kinds, each with its servers."""
    wanted = {}
    for group, _, _, ours, bounds in ROWS:
        for key in [ours, *(bound[3] for bound in bounds if bound[3])] if group in chosen else []:
            servers = wanted.setdefault(key[0], [])
            if key[1] not in servers:
                servers.append(key[1])
    return wanted


def ratio_text(ratio):
    return f"1/{1 / ratio:.0f}" if ratio < 0.1 else f"{ratio:.2f}"


def bound_text(bound):
    return ratio_text(bound) if 0 < bound < 0.1 else f"{bound:g}"


def verdict(relation, value, must, aim):
    def holds(bound):
        return value >= bound if relation == "≥" else value <= bound

    if must is None:
        return ""
    if not holds(must):
        return "MISSED"
    return "aim reached" if aim is not None and holds(aim) else "reached"


def reason(excluded, key):
    return " ".join(excluded.get(key[:2], "no figure").split())[:60]


def lines_of(row, results, excluded):
    _, title, form, ours, bounds = row
    value = statistics.median(results[ours])
    first = f"{title:<31}{form.format(value):>11}"
    for relation, must, aim, beside, called in bounds:
        name = beside and (called or NAMES[beside[1]]) or ""
        if beside and (beside[:2] in excluded or beside not in results):
            yield f"{first}  {name:<16}not measured: {reason(excluded, beside)}"
            first = " " * 42
            continue
        # Of each round, so that a slow minute meets both sides.
        compared = [a / b for a, b in zip(results[ours], results[beside], strict=True)] if beside else results[ours]
        middle = statistics.median(compared)
        spread = (max(compared) - min(compared)) / middle if middle else 0
        cells = [
            form.format(statistics.median(results[beside])) if beside else "",
            ratio_text(middle) if beside else "",
            f"{spread:.0%}" if len(compared) > 1 else "",
            *(f"{relation} {bound_text(bound)}" if bound is not None else "" for bound in (must, aim)),
        ]
        line = "{:<16}{:>12}{:>7}{:>8}  {:<8}{:<8}".format(name, *cells)
        yield f"{first}  {line}{verdict(relation, middle, must, aim)}".rstrip()
        first = " " * 42


def render(results, excluded, chosen, length):
    head = f"{'':<31}{'wxcgi':>11}  {'beside it':<28}{'ratio':>7}{'spread':>8}  "
    lines = [machine(), f"{length}, medians; {versions()}", "", f"{head}{'must':<8}{'aim':<8}verdict"]
    for row in ROWS:
        if row[0] in chosen:
            lines += lines_of(row, results, excluded)
    for (kind, name, field), values in results.items():
        if field == "errors" and sum(values):
            missed = "  MISSED" if name == "wxcgi" else ""
            lines.append(f"wrong or missing answers of {NAMES.get(name, name)}, {kind}: {sum(values):,.0f}{missed}")
    return "\n".join(lines)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    processor = model[1] if model else platform.machine()
    return f"benches/run, {datetime.date.today()}: {os.cpu_count()} cores, {processor}, Linux {platform.release()}"


def versions():
    def package(name):
        found = subprocess.run(["dpkg-query", "-Wf", "${Version}", name], capture_output=True, text=True, check=False)
        return re.split(r"[-+]", found.stdout.removeprefix("2:"))[0] if found.returncode == 0 else ""

    php = next(iter(sorted(glob.glob("/usr/sbin/php-fpm?*"))), "php").rpartition("php-fpm")[2]
    packages = {
        "nginx": "nginx", "Apache": "apache2", "PHP": f"php{php}-fpm", "libfcgi": "libfcgi0ldbl", "uwsgi": "uwsgi-core",
        "wrk": "wrk",
    }
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    found = {"Rust": rust, **{name: package(debian) for name, debian in packages.items()}}
    return ", ".join(f"{name} {version}" for name, version in found.items() if version)


def publish(text):
    """Writes the result, and quotes it where the READMEs quote one."""
    with open(f"{ROOT}/benches/result.txt", "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    for name in ("README.md", "README.zh-CN.md"):
        with open(f"{ROOT}/{name}", encoding="utf-8") as file:
            readme = file.read()
        quoted = re.sub(r"(?s)```text\nbenches/run, .*?```", lambda _: f"```text\n{text}\n```", readme)
        with open(f"{ROOT}/{name}", "w", encoding="utf-8") as file:
            file.write(quoted)
