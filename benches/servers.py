"""Starts and stops what is measured, and the web servers before it."""

import glob
import http.client
import os
import pwd
import re
import select
import shutil
import signal
import socket
import sys
import time

import messages

FOLDER, PYTHON_PACKAGES = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))
CONNECTIONS = 32
PATIENCE = 10
IS_ROOT = os.getuid() == 0
WEB_USER = "www-data"


class Unfit(Exception):
    """Why something cannot be measured."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_of(path):
    return APACHE if path.startswith("/cgi/") else NGINX


def found(pattern):
    return next(iter(sorted(glob.glob(pattern))), None)


NGINX, APACHE = free_port(), free_port()
PHP_FPM = found("/usr/sbin/php-fpm*")

# CGI programs, and responders with whether they make their socket themselves. None: not installed.
PROGRAMS = {
    "wxcgi": f"{FOLDER}/bin/wxcgi",
    "c-cgi": f"{FOLDER}/bin/c-cgi",
    "php-cgi": found("/usr/bin/php-cgi"),
    "webpy": found(f"{PYTHON_PACKAGES}/lib/python3*/site-packages/web") and f"{FOLDER}/webpy_cgi.py",
}
RESPONDERS = {
    "wxcgi": ([f"{FOLDER}/bin/wxcgi", "fastcgi", "--config", f"{FOLDER}/20.toml"], False),
    "c-epoll": ([f"{FOLDER}/bin/c-epoll"], False),
    "libfcgi": (found(f"{FOLDER}/bin/libfcgi") and [f"{FOLDER}/bin/libfcgi"], False),
    "crate": ([f"{FOLDER}/bin/crate"], False),
    "php-fpm": (PHP_FPM and [PHP_FPM, "-F", "-y", f"{FOLDER}/php-fpm.conf"], True),
    "flask": (
        found("/usr/lib/uwsgi/plugins/python3_plugin.so")
        and found(f"{PYTHON_PACKAGES}/lib/python3*/site-packages/wechatpy")
        and [
            "uwsgi-core", "--plugin", "python3", "--chdir", FOLDER, "--module", "flask_wechatpy:app", "--master",
            "--processes", "4", "--threads", "2", "--socket", f"{FOLDER}/flask.sock", "--chmod-socket=666",
            "--listen", "1024", "--die-on-term", "--disable-logging",
        ],
        True,
    ),
}
PHP_VARIABLES = {"SCRIPT_FILENAME": f"{FOLDER}/wechat.php", "REDIRECT_STATUS": "200"}


class Process:
    """A process in a session of its own, with all that it starts."""

    def __init__(self, name, command, listener=None):
        env = {**os.environ, "WXCGI_STATE_DIR": f"{FOLDER}/state-fastcgi"}
        log = os.open(f"{FOLDER}/{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        places = [(log, 1), (log, 2)] + ([(listener.fileno(), 0)] if listener else [])
        actions = [(os.POSIX_SPAWN_DUP2, here, there) for here, there in places]
        self.began = time.perf_counter()
        self.leader = os.posix_spawnp(command[0], command, env, file_actions=actions, setsid=True)
        os.close(log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def ids(self):
        for stat in texts(glob.glob("/proc/[0-9]*/stat")):
            pid, _, rest = stat.partition(" ")
            session = rest.rpartition(")")[2].split()[3]
            if int(session) == self.leader:
                yield int(pid)

    def cpu(self):
        """Microseconds of CPU time that its threads have used."""
        paths = (path for pid in self.ids() for path in glob.glob(f"/proc/{pid}/task/*/schedstat"))
        return sum(int(text.split()[0]) for text in texts(paths)) / 1e3

    def pss(self):
        """Memory in MiB; what is shared with others counts in proportion."""
        rollups = texts(f"/proc/{pid}/smaps_rollup" for pid in self.ids())
        return sum(int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) for text in rollups) / 1024

    def stop(self):
        end = os.pidfd_open(self.leader)
        os.kill(self.leader, signal.SIGTERM)
        select.select([end], [], [], PATIENCE)
        os.close(end)
        for pid in self.ids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        os.waitpid(self.leader, 0)


class Responder(Process):
    """A FastCGI (or uwsgi) server at a socket."""

    def __init__(self, name):
        command, makes_socket = RESPONDERS[name]
        if not command:
            raise Unfit("not installed")
        self.place, self.listener = f"{FOLDER}/{name}.sock", None
        if os.path.exists(self.place):
            os.unlink(self.place)
        if not makes_socket:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.place)
            self.listener.listen(4096)
        super().__init__(name, command, self.listener)

    def stop(self):
        super().stop()
        if self.listener:
            self.listener.close()


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def texts(paths):
    for path in paths:
        try:
            yield read(path)
        except OSError:
            pass  # the process has just ended


def write(name, text, mode=0o644):
    path = f"{FOLDER}/{name}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def await_answer(path, query, body, secure=False):
    """Asks until the first good answer."""
    deadline = time.monotonic() + PATIENCE
    while fault := fault_at(path, query, body, secure):
        if time.monotonic() > deadline:
            raise Unfit(fault)
        time.sleep(0.01)


def fault_at(path, query, body, secure):
    peer = http.client.HTTPConnection("127.0.0.1", port_of(path), timeout=PATIENCE)
    try:
        peer.request("POST", f"{path}?{query}", body, {"Content-Type": "text/xml"})
        answer = peer.getresponse()
        text = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        peer.close()
    return messages.fault_of(text, secure) if answer.status == 200 else f"status {answer.status}"


def start_nginx():
    upstreams = locations = ""
    for name in RESPONDERS:
        upstreams += f"upstream {name} {{ server unix:{FOLDER}/{name}.sock max_fails=0; }}\n"
        upstreams += f"upstream {name}-kept {{ server unix:{FOLDER}/{name}.sock max_fails=0;"
        upstreams += f" keepalive {CONNECTIONS}; keepalive_requests 1000000000; }}\n"
        passing = f"include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME {FOLDER}/wechat.php;"
        passing += f" fastcgi_pass {name}"
        if name == "flask":
            passing = f"include /etc/nginx/uwsgi_params; uwsgi_pass {name}"
        locations += f"location = /{name}/unkept {{ {passing}; }}\n"
        locations += f"location = /{name}/kept {{ fastcgi_keep_conn on; {passing}-kept; }}\n"
    answer = (
        f"<xml><ToUserName>{messages.OPENID}</ToUserName><FromUserName>{messages.ACCOUNT}</FromUserName>"
        "<CreateTime>1700000000</CreateTime><MsgType>text</MsgType><Content>pong</Content></xml>"
    )
    config = write("nginx.conf", f"""
worker_processes 2; worker_rlimit_nofile 16384; daemon off; pid {FOLDER}/nginx.pid; error_log {FOLDER}/nginx.log;
user {pwd.getpwuid(os.getuid()).pw_name};
events {{ worker_connections 8192; }}
http {{
access_log off; keepalive_requests 1000000000;
client_body_temp_path {FOLDER}/body; fastcgi_temp_path {FOLDER}/fastcgi; proxy_temp_path {FOLDER}/proxy;
uwsgi_temp_path {FOLDER}/uwsgi; scgi_temp_path {FOLDER}/scgi;
{upstreams}
server {{
listen 127.0.0.1:{NGINX} backlog=4096;
location = /nginx/kept {{ return 200 "{answer}"; }}
{locations}
}}
}}
""")
    return Process("nginx", ["nginx", "-c", config, "-p", FOLDER, "-e", f"{FOLDER}/nginx.log"])


def start_apache():
    modules = ("mpm_event", "authz_core", "alias", "env", "cgid", "actions")
    scripts = [f"ScriptAlias /cgi/{name} {path}" for name, path in PROGRAMS.items() if path and name != "php-cgi"]
    if PROGRAMS["php-cgi"]:
        scripts.append(f"Alias /cgi/php-cgi {FOLDER}/wechat.php")
        scripts.append(f"ScriptAlias /php {os.path.realpath(PROGRAMS['php-cgi'])}\nAction application/x-php /php")
        scripts.append("<Location /cgi/php-cgi>\nSetHandler application/x-php\n</Location>")
    # A connection a request: on a kept one the next request waits for 10 ms that mod_cgid sleeps after an answer.
    config = write("apache.conf", "\n".join([
        *(f"LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so" for module in modules),
        f"Listen 127.0.0.1:{APACHE}\nServerName localhost\nServerRoot {FOLDER}\nDefaultRuntimeDir {FOLDER}",
        f"PidFile {FOLDER}/apache.pid\nErrorLog {FOLDER}/apache.log\nScriptSock {FOLDER}/cgid.sock\nKeepAlive Off",
        f"User {WEB_USER}\nGroup {WEB_USER}" if IS_ROOT else "",
        f"SetEnv WXCGI_CONFIG {FOLDER}/20.toml\nSetEnv WXCGI_STATE_DIR {FOLDER}/state-apache",
        "<Directory />\nRequire all granted\n</Directory>", *scripts, "",
    ]))
    return Process("apache", ["apache2", "-DFOREGROUND", "-f", config])


def prepare():
    """Writes the configs and scripts of what is measured."""
    group = pwd.getpwnam(WEB_USER).pw_gid if IS_ROOT else -1
    for rules in (20, 1000):
        os.chown(write(f"{rules}.toml", messages.config(rules), 0o640), -1, group)
    for user in ("fastcgi", "hand", "apache"):
        os.mkdir(f"{FOLDER}/state-{user}", 0o700)
    if IS_ROOT:
        shutil.chown(f"{FOLDER}/state-apache", WEB_USER)
    write("php-fpm.conf", "\n".join([
        f"[global]\nerror_log = {FOLDER}/php-fpm.log\n[www]\nlisten = {FOLDER}/php-fpm.sock\nlisten.mode = 0666",
        "pm = static\npm.max_children = 5", f"user = {WEB_USER}\ngroup = {WEB_USER}\n" if IS_ROOT else "",
    ]))
    shutil.copy(f"{HERE}/peers/wechat.php", FOLDER)
    site = found(f"{PYTHON_PACKAGES}/lib/python3*/site-packages")
    if site:
        # Copied, for Apache's user may not come to where it was installed.
        shutil.copytree(site, f"{FOLDER}/site")
    for script in ("webpy_cgi.py", "flask_wechatpy.py"):
        head = f"#!/usr/bin/python3\nimport sys\nsys.path.insert(0, '{FOLDER}/site')\n"
        write(script, head + read(f"{HERE}/peers/{script}"), 0o755)
