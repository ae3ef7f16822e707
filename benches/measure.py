"""Measures wxcgi and its peers. Started by `run`, which has installed and built everything: measure.py FOLDER VENV …

Each measurement is one kind of load on one fresh server. The kinds come in turn and within a kind the servers, so that
what is compared was measured within seconds. Which figures are compared, and with what bounds, stands in table.py.
"""

import argparse
import re
import resource
import socket
import statistics
import struct
import subprocess
import sys
import time

import messages
import servers
import table
from servers import CONNECTIONS, FOLDER, HERE, NGINX, PATIENCE, PROGRAMS, Responder, Unfit, await_answer

# Under Apache fewer: where an answer takes 10 ms, the requests that are open at the end would weigh too much.
CGI_CONNECTIONS = 16
MANY = 1000
STARTS = 20


def output_of(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise Unfit(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")
    return done.stdout


class Bench:
    """A run: its length, and the messages of the present round, each a query with a body."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.plain, self.sealed = [], []

    def make_messages(self):
        """Fresh ones, for WeChat's signature is good for some minutes only."""
        bodies = [messages.message("ping", number) for number in range(64)]
        self.plain = [(messages.signed_query(), body) for body in bodies]
        self.sealed = []
        for body in bodies:
            clear, sealed = servers.write("clear.xml", body.decode()), f"{FOLDER}/sealed.xml"
            sign = (PROGRAMS["wxcgi"], "sign", "--config", f"{FOLDER}/20.toml", "--seal", clear, "--out", sealed)
            query = output_of(*sign)
            self.sealed.append((f"{query.strip()}&openid={messages.OPENID}", servers.read(sealed).encode()))

    # --- load generators ---

    def wrk(self, path, seconds, connections=CONNECTIONS, secure=False):
        requests = [messages.http_request(path, *message) for message in (self.sealed if secure else self.plain)]
        return figures(
            "wrk", f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s",
            "-s", f"{HERE}/message.lua", f"http://127.0.0.1:{servers.port_of(path)}",
            "--", requests_file(requests), "<MsgSignature>" if secure else "pong",
        )

    def http_load(self, path, seconds, connections):
        requests = [messages.http_request(path, *message) for message in self.plain]
        return figures(f"{FOLDER}/bin/load", "http", NGINX, connections, seconds, requests_file(requests), "pong")

    def fcgi_load(self, name, seconds, connections=CONNECTIONS, secure=False):
        """The command, for it is watched while it runs."""
        requests = [messages.fcgi_request(*message) for message in (self.sealed if secure else self.plain)]
        file, text = requests_file(requests), "<MsgSignature>" if secure else "pong"
        return [str(word) for word in (
            f"{FOLDER}/bin/load", "fcgi", f"{FOLDER}/{name}.sock", connections, seconds, file, text,
        )]

    # --- kinds of measurement ---

    def behind_nginx(self, name, variant="kept", secure=False):
        """Also the CPU time of an answer, and the memory before and after the load."""
        path = f"/{name}/{variant}"
        if name == "nginx":
            await_answer(path, *self.plain[0])
            return self.wrk(path, self.seconds)
        with Responder(name) as responder:
            await_answer(path, *(self.sealed if secure else self.plain)[0], secure)
            idle = responder.pss()
            self.wrk(path, 1, secure=secure)
            used = responder.cpu()
            found = self.wrk(path, self.seconds, secure=secure)
            cpu = (responder.cpu() - used) / found["good"]
            return {**found, "cpu": cpu, "idle": idle, "after": responder.pss()}

    def counted(self, name, connections, variant="kept"):
        """Behind nginx by our own load: with fractions of a microsecond, and with the connections that were served."""
        with Responder(name):
            path = f"/{name}/{variant}"
            await_answer(path, *self.plain[0])
            self.http_load(path, 0.5, connections)
            return self.http_load(path, self.seconds, connections)

    def direct(self, name, secure=False):
        """No web server: records over the socket."""
        with Responder(name):
            figures(*self.fcgi_load(name, 0.5, secure=secure))
            return figures(*self.fcgi_load(name, self.seconds, secure=secure))

    def memory(self, name):
        """The most that it takes while so many connections are at the responder itself."""
        with Responder(name) as responder:
            most = 0
            with subprocess.Popen(self.fcgi_load(name, 2, MANY), stdout=subprocess.PIPE, text=True) as running:
                while running.poll() is None:
                    most = max(most, responder.pss())
                    time.sleep(0.05)
                found = fields_of(running.stdout.read())
            if found.get("served") != MANY:
                raise Unfit(f"served {found.get('served')} of {MANY} connections")
            return {"pss": most, "errors": found["errors"]}

    def start(self, name):
        """Milliseconds from before the exec to the first good answer; the request waits in the socket's queue."""
        times = []
        for query, body in self.plain[:STARTS]:
            with Responder(name) as responder, socket.create_connection(("127.0.0.1", NGINX), PATIENCE) as client:
                client.sendall(messages.http_request(f"/{name}/unkept", query, body))
                answer = b""
                while b"</xml>" not in answer and (part := client.recv(65536)):
                    answer += part
                times.append((time.perf_counter() - responder.began) * 1e3)
            if not answer.startswith(b"HTTP/1.1 200 ") or b"[pong]" not in answer:
                raise Unfit(f"answered {answer[:100]} after the start")
        return {"ms": statistics.median(times)}

    def by_hand(self, *cases):
        """CGI programs without a web server: microseconds from spawn to exit. A case: its name, the program, the number
        of rules, the text of the message, and what the answer holds."""
        query = self.plain[0][0]
        words = []
        for number, (_, program, rules, content, text) in enumerate(cases):
            if not PROGRAMS[program]:
                raise Unfit("not installed")
            body = servers.write(f"body{number}.xml", messages.message(content).decode())
            words += [f"{FOLDER}/{rules}.toml", body, text, PROGRAMS[program]]
        env = {
            "PATH": "/usr/bin:/bin", "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": "Apache", "SERVER_NAME": "localhost", "SERVER_PORT": "80", "REMOTE_ADDR": "127.0.0.1",
            "REQUEST_METHOD": "POST", "SCRIPT_NAME": "/wx", "REQUEST_URI": f"/wx?{query}", "QUERY_STRING": query,
            "CONTENT_TYPE": "text/xml", "WXCGI_STATE_DIR": f"{FOLDER}/state-hand", **servers.PHP_VARIABLES,
        }
        lines = output_of(f"{FOLDER}/bin/spawn", self.seconds, *words, env=env).split()
        return {case[0]: float(line) for case, line in zip(cases, lines, strict=True)}

    def under_apache(self, name, connections=CGI_CONNECTIONS):
        if not PROGRAMS[name]:
            raise Unfit("not installed")
        with servers.start_apache():
            await_answer(f"/cgi/{name}", *self.plain[0])
            return self.wrk(f"/cgi/{name}", 2 * self.seconds, connections)

    def kinds(self):
        """By name, in the order in which they come."""
        return {
            "kept": self.behind_nginx,
            "unkept": lambda name: self.behind_nginx(name, "unkept"),
            "secure": lambda name: self.behind_nginx(name, secure=True),
            "secure-unkept": lambda name: self.behind_nginx(name, "unkept", secure=True),
            "one": lambda name: self.counted(name, 1),
            "one-unkept": lambda name: self.counted(name, 1, "unkept"),
            "direct": self.direct,
            "direct-secure": lambda name: self.direct(name, secure=True),
            "many": lambda name: self.counted(name, MANY),
            "memory": self.memory,
            "start": self.start,
            "hand": lambda _: self.by_hand(
                ("c", "c-cgi", 20, "ping", "pong"),
                ("wxcgi", "wxcgi", 20, "ping", "pong"),
                ("first", "wxcgi", 1000, "ping", "pong"),
                ("last", "wxcgi", 1000, messages.LAST, "answer 1000"),
                ("none", "wxcgi", 1000, messages.NONE, "success"),
            ),
            "hand-peer": lambda name: self.by_hand(("µs", name, 20, "ping", "pong")),
            "apache": self.under_apache,
            "apache-one": lambda name: self.under_apache(name, 1),
        }


def requests_file(requests):
    path = f"{FOLDER}/requests"
    with open(path, "wb") as file:
        file.writelines(struct.pack(">I", len(request)) + request for request in requests)
    return path


def fields_of(output):
    return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", output)}


def figures(*command):
    """What a load generator says."""
    output = output_of(*command)
    found = fields_of(output)
    if not found.get("good"):
        raise Unfit("no good answer under load")
    return found


def measure_round(bench, plan, results, excluded):
    bench.make_messages()
    for kind, measure in bench.kinds().items():
        for name in plan.get(kind, []):
            if (kind, name) in excluded:
                continue
            try:
                found = measure(name)
            except (Unfit, OSError) as why:
                if name == "wxcgi":
                    raise Unfit(f"{kind}: {why}") from why
                excluded[kind, name] = str(why)
                continue
            fields = " ".join(f"{field}={value:.1f}" for field, value in found.items())
            print(f"  {kind} {name}: {fields}", file=sys.stderr)
            for field, value in found.items():
                results.setdefault((kind, name, field), []).append(value)


def main():
    parser = argparse.ArgumentParser(prog="benches/run", add_help=False, usage="see benches/run --help")
    parser.add_argument("folders", nargs=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=table.groups(), metavar="GROUP", default=table.groups())
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds, seconds = (1, 1) if options.quick else (options.rounds, options.seconds)

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    servers.prepare()
    bench, plan = Bench(seconds), table.plan(options.only)
    results, excluded = {}, {}
    with servers.start_nginx():
        try:
            # The first round meets cold caches and does not count.
            for number in range(1 if options.quick else 0, rounds + 1):
                print(f"round {number} of {rounds}", file=sys.stderr)
                measure_round(bench, plan, results if number else {}, excluded)
        except Unfit as why:
            sys.exit(f"benches/run: wxcgi: {why}")
    text = table.render(results, excluded, options.only, f"rounds: {rounds}, measurements of {seconds} s")
    print(text)
    if not options.quick and options.only == table.groups():
        table.publish(text)


main()
