"""Managers on loopback, as the tests of the site need them: a throw-away authority, a database, relays, a mail server.

Everything is the real program in a process of its own, on ports that are free at the moment, in a folder that goes away.
A house ends what it started and nothing else.
"""

import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

HERE = Path(__file__).resolve().parent
PASSWORD = "Uketsuke-Test-1"
SYSTEM_PASSWORD = "Uketsuke-Test-System-1"
START_PATIENCE_SECS = 60
LIBC = ctypes.CDLL(None)


def programs():
    """Where the programs are that cargo built."""
    named = os.environ.get("UKETSUKE_PROGRAMS")
    target = os.environ.get("CARGO_TARGET_DIR") or HERE.parents[2] / "target"
    return Path(named) if named else Path(target) / "debug"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_us():
    """Runs in a program before it begins: however the tests end, it ends with them. Source: prctl(2), PR_SET_PDEATHSIG."""
    LIBC.prctl(1, signal.SIGKILL)


class House:
    """One installation: a database and one or more managers on it."""

    def __init__(self, engine="sqlite", managers=1, mail=False, config=""):
        self.folder = Path(tempfile.mkdtemp(prefix="uketsuke-site."))
        self.engine = engine
        self.running = {}
        self.mails = []
        self.relays = 0
        self.balancer = None
        try:
            self._make_certificates()
            self.ca = self.folder / "ca.pem"
            self.database = self._make_database()
            mail_config = self._start_mail_server() if mail else ""
            self.ports = [free_port() for _ in range(managers)]
            self.private = [free_port() for _ in range(managers)]
            for index in range(managers):
                self._write_config(index, mail_config, config)
            self.password_file = self._secret("password", PASSWORD)
            self.system_password_file = self._secret("system-password", SYSTEM_PASSWORD)
            self.command("migrate")
            for index in range(managers):
                self.start_manager(index)
            if 1 < managers:
                self.start_balancer()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def url(self):
        return self.address(0)

    def address(self, index):
        """Where a manager is; with a balancer, where that is."""
        return f"https://127.0.0.1:{self.balancer or self.ports[index]}"

    # --- processes ---------------------------------------------------------------------------------------------

    def start(self, name, command, **how):
        """Starts a program; its standard error goes to a file of the folder."""
        log = open(self.folder / f"{name}.log", "ab")
        # Nothing of whoever runs the tests reaches the programs but the way to other programs.
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        environment |= {"RUST_LOG": "info", **how.pop("env", {})}
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **how}
        process = subprocess.Popen(command, cwd=self.folder, stderr=log, env=environment, preexec_fn=die_with_us, **how)
        log.close()
        self.running[name] = process
        return process

    def start_manager(self, index):
        self.start(f"manager-{index}", [programs() / "uketsuke-manager", "--config", self._config(index), "serve"])
        self.wait_ready(f"manager-{index}", self.private[index])

    def kill_manager(self, index):
        """Ends a manager as a crash does."""
        process = self.running.pop(f"manager-{index}")
        process.kill()
        process.wait()

    def metric(self, index, name):
        """What a manager says of itself now; 0 when it is not there."""
        try:
            text = httpx.get(f"http://127.0.0.1:{self.private[index]}/metrics", trust_env=False, timeout=5).text
        except httpx.HTTPError:
            return 0
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)

    def start_relay(self):
        self.relays += 1
        name = f"relay-{self.relays}"
        token = self._secret(f"{name}.token", self.command("relay", "enroll", "--name", name).strip())
        port, private = free_port(), free_port()
        (self.folder / f"{name}.toml").write_text(
            f'listen = "127.0.0.1:{port}"\npublic_address = "127.0.0.1:{port}"\nprivate_listen = "127.0.0.1:{private}"\n'
            f'log_format = "json"\nmanager = "{self.url}"\nmanager_ca_file = "{self.ca}"\ntoken_file = "{token}"\n'
        )
        self.start(name, [programs() / "uketsuke-relay", "serve", "--config", f"{name}.toml"])
        self.wait_ready(name, private)

    def start_balancer(self):
        """HAProxy before the managers, as in `manager/README.md`: it leaves out those that are not ready, and says who
        connected."""
        self.balancer = port = free_port()
        servers = "".join(
            f"  server manager-{index} 127.0.0.1:{self.ports[index]} check port {self.private[index]} inter 500ms fall 1 send-proxy-v2\n"
            for index in range(len(self.ports)))
        (self.folder / "haproxy.cfg").write_text(
            "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 5m\n  timeout server 5m\n"
            "  option redispatch 1\n  retries 3\n"
            f"frontend site\n  bind 127.0.0.1:{port}\n  default_backend managers\n"
            f"backend managers\n  balance roundrobin\n  option httpchk GET /readyz\n{servers}")
        self.start("haproxy", ["haproxy", "-db", "-f", "haproxy.cfg"])
        deadline = time.monotonic() + START_PATIENCE_SECS
        while time.monotonic() < deadline:
            if self.knock():
                return
            time.sleep(0.1)
        raise RuntimeError(f"the balancer is not ready:\n{self.log('haproxy')}")

    def knock(self):
        """Whether somebody who comes anew is answered."""
        try:
            return httpx.get(f"{self.url}/login", verify=False, trust_env=False, timeout=5).is_success
        except httpx.HTTPError:
            return False

    def age_accounts(self, days):
        """Lets accounts be older than they are, because who agrees to an erasure must not be fresh."""
        ms = days * 24 * 60 * 60 * 1000
        text = f"UPDATE operators SET created_at_ms = created_at_ms - {ms}, handed_out_at_ms = handed_out_at_ms - {ms}"
        if self.engine == "sqlite":
            with sqlite3.connect(self.folder / "manager.db", timeout=30) as database:
                database.execute(text)
            database.close()
        else:
            subprocess.run(["psql", "-q", self.database, "-c", text], check=True, capture_output=True)

    def wait_ready(self, name, private):
        deadline = time.monotonic() + START_PATIENCE_SECS
        while time.monotonic() < deadline:
            if self.running[name].poll() is not None:
                break
            try:
                if httpx.get(f"http://127.0.0.1:{private}/readyz", trust_env=False, timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"{name} is not ready:\n{self.log(name)[-4000:]}")

    def log(self, name):
        file = self.folder / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def command(self, *arguments):
        """Runs the manager's command line; what it printed."""
        command = [programs() / "uketsuke-manager", "--config", self._config(0), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def close(self):
        for process in reversed(self.running.values()):
            process.terminate()
        for process in reversed(self.running.values()):
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running = {}
        if kept := os.environ.get("UKETSUKE_LOGS"):
            target = Path(kept) / self.folder.name
            target.mkdir(parents=True, exist_ok=True)
            for log in self.folder.glob("*.log"):
                shutil.copy(log, target)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- accounts ----------------------------------------------------------------------------------------------

    def add_admin(self, user, name, role):
        self.command("admin", "create", "--user", user, "--name", name, "--role", role,
                     "--password-file", self.system_password_file)

    def add_company(self, code, name):
        self.command("company", "create", "--code", code, "--name", name)

    def add_operator(self, company, user, name, role="operator"):
        self.command("operator", "create", "--company", company, "--user", user, "--name", name, "--role", role,
                     "--password-file", self.password_file)

    def fill_company(self, company, days):
        self.command("company", "example", "--company", company, "--days", str(days),
                     "--password-file", self.password_file)

    # --- what it is made of ------------------------------------------------------------------------------------

    def _config(self, index):
        return self.folder / f"manager-{index}.toml"

    def _write_config(self, index, mail, more):
        at = self.folder
        balanced = 'proxy_from = ["127.0.0.1"]\n' if 1 < len(self.ports) else ""
        self._config(index).write_text(
            f'{balanced}listen = "127.0.0.1:{self.ports[index]}"\nprivate_listen = "127.0.0.1:{self.private[index]}"\n'
            f'certificate_file = "{at}/server.pem"\nkey_file = "{at}/server.key"\nsigning_key_file = "{at}/signing.key"\n'
            f'log_format = "json"\n[database]\nurl = "{self.database}"\n{mail}{more}'
            # Programs without optimisation, on a machine that does other things as well.
            '[http]\nrequest_timeout = "60s"\n'
        )

    def _secret(self, name, text):
        file = self.folder / name
        file.write_text(text)
        file.chmod(0o600)
        return file

    def _make_database(self):
        if self.engine == "sqlite":
            return f"sqlite://{self.folder}/manager.db"
        server = os.environ["UKETSUKE_TEST_POSTGRES"]
        name = f"site_{secrets.token_hex(6)}"
        subprocess.run(["psql", "-q", server, "-c", f'CREATE DATABASE "{name}"'], check=True, capture_output=True)
        return f"{server.rsplit('/', 1)[0]}/{name}"

    def _make_certificates(self):
        """An authority, and a certificate of it for this machine."""
        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        openssl("req", "-x509", *curve, "-subj", "/CN=Site tests", "-keyout", "ca.key", "-out", "ca.pem",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        openssl("req", "-x509", *curve, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.pem",
                "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "extendedKeyUsage=serverAuth")

    def _start_mail_server(self):
        """The mail server of the other tests; what it takes is in `mails`."""
        python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
        program = [python, HERE.parent / "it/smtp.py", "server.pem", "server.key", "take", "none", ""]
        process = self.start("mail", program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        port = json.loads(process.stdout.readline())["port"]

        def listen():
            for line in process.stdout:
                self.mails.append(json.loads(line))

        threading.Thread(target=listen, name="mails", daemon=True).start()
        return (
            f'[mail]\nserver = "127.0.0.1"\nport = {port}\ntls = "none"\nfrom = "Uketsuke <no-reply@example.co.jp>"\n'
            'site = "https://support.example.co.jp"\n'
        )
