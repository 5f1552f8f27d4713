"""Runs Schemathesis against a running Dragoman: every document that it serves, on each database engine.

It starts the built program with the sandbox in an empty database, gives Schemathesis tokens for it, and afterwards asks
the server's log three things: did every operation succeed at least once (else nothing behind it was tested), did
anything go wrong inside, and did the server last to the end. `make schemathesis` calls it.
"""

import argparse
import base64
import collections
import contextlib
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import psycopg
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DSN_VARIABLE = "TEST_POSTGRES_DSN"
GRACE_HOPPER = "0cfecc31-e3f4-4fce-9a27-f36ea6256a10"


class Fault(Exception):
    """Something that fails the gate, told to whoever reads its output."""


class Children:
    """The programs that were started, so that a signal can stop them, and only them."""

    def __init__(self):
        self.running = set()
        self.stopped = False
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def start(self, command, **options):
        with self.lock:
            if self.stopped:
                raise Fault("interrupted")
            child = subprocess.Popen(command, cwd=ROOT, **options)
            self.running.add(child)
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            with self.lock:
                self.running.discard(child)

    def stop(self):
        with self.lock:
            self.stopped = True
            for child in self.running:
                child.terminate()


class Server:
    """One Dragoman on a free port of the loopback address, with its own keys."""

    def __init__(self, children, program, database, work):
        self.program, self.work = program, work
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("DRAGOMAN_")} | {
            "DRAGOMAN_DATABASE": database,
            "DRAGOMAN_LISTEN": "127.0.0.1:0",
            "DRAGOMAN_JWT_SECRET": secrets.token_urlsafe(48),
            "DRAGOMAN_SECRET_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            # Only --dev serves without limits.
            "DRAGOMAN_RATE_LIMIT_ADDRESS": "0",
            "DRAGOMAN_RATE_LIMIT_PRINCIPAL": "0",
            "DRAGOMAN_LOG_FORMAT": "json",
            # Invented endpoints receive nothing.
            "DRAGOMAN_WEBHOOKS": "false",
            # What one run erases, the next has again.
            "DRAGOMAN_ERASURE_LEDGER": str(work / "erasures"),
        }
        self.log = work / "log"
        self.start = children.start

    @contextlib.contextmanager
    def serve(self):
        """Serves with the sandbox in the database, and stops in order at the end."""
        with self.log.open("wb") as log:
            command = [self.program, "serve", "--dev"]
            with self.start(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=log) as process:
                self.url = "http://" + self.address(process)
                yield
                if process.poll() is not None:
                    raise Fault(f"the server ended with status {process.returncode} while it was tested\n{self.tail()}")
                self.get("/readyz")
                process.terminate()
                if process.wait(timeout=30) != 0:
                    raise Fault(f"the server did not stop in order: status {process.returncode}\n{self.tail()}")

    def address(self, process):
        for _ in range(600):
            found = re.search(r'"msg":"listening","address":"([^"]+)"', self.log.read_text())
            if found:
                return found[1]
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise Fault(f"the server does not start\n{self.tail()}")

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return answer.read()

    def documents(self):
        """The paths of the documents, as the server's catalogue lists them (RFC 9727)."""
        for api in json.loads(self.get("/.well-known/api-catalog"))["linkset"]:
            yield next(link["href"] for link in api["service-desc"] if link["type"] == "application/yaml")

    def tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def token(self, *flags):
        command = [self.program, "token", "--expires", "24h", *flags]
        return subprocess.run(command, cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True).stdout.strip()

    def write_tokens(self):
        """Writes a file of the Web Fuzzing Commons: an administrator of each customer of the sandbox, and one of the platform."""
        company = ["--authority", "ROLE_COMPANY_ADMIN"]
        users = {
            "sandbox": [*company, "--customer", "3393", "--subject", GRACE_HOPPER],
            "elsewhere": [*company, "--customer", "3394"],
            "platform": ["--authority", "ROLE_ADMIN", "--customer", "*"],
        }
        path = self.work / "tokens.json"
        path.write_text(json.dumps({"auth": [
            {"name": name, "fixedHeaders": [{
                "name": "Authorization", "value": "Bearer " + self.token(*flags),
            }]}
            for name, flags in users.items()
        ]}))
        return path

    def entries(self):
        """The lines of the log. One that is no JSON is Go's own, such as a fatal error's."""
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                yield {"level": "ERROR", "msg": line}


def operations(document):
    """The method and route of every operation of a document that can succeed, as the server's log names them."""
    base = document["servers"][0]["url"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in ("get", "put", "post", "patch", "delete") and any(status.startswith("2") for status in operation["responses"]):
                yield method.upper(), re.sub(r"\{(\w+)\}", r":\1", base + path)


def test(children, server, path, tokens, options, say):
    """Lets Schemathesis test the document that is served at path. Gives the document, and what is wrong."""
    document = yaml.safe_load(server.get(path))
    command = [
        pathlib.Path(sys.executable).with_name("schemathesis"), "run", server.url + path, "--no-color",
        "--seed", str(options.seed), "--max-examples", str(options.examples),
    ]
    environment = os.environ | {"DRAGOMAN_TOKENS": str(tokens)}
    started = time.monotonic()
    with children.start(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        output, _ = process.communicate()
    say(f"{path}: {time.monotonic() - started:.0f} s")
    found = process.returncode != 0
    say(output if found else output[output.index("Test Phases:"):])
    return document, [f"Schemathesis found something in {path}"] if found else []


def least_successes(examples):
    """Gives how often each operation has to succeed: less would be the document's examples, and nothing invented."""
    return max(1, min(10, examples // 3))


def check_log(server, documents, least, say):
    """Gives what the server's log tells of things gone wrong, and of operations that were not reached."""
    statuses = collections.defaultdict(collections.Counter)
    faults = []
    for entry in server.entries():
        if entry["level"] not in ("DEBUG", "INFO") or entry.get("status", 0) >= 500:
            faults.append(json.dumps(entry))
        if entry["msg"] == "request":
            statuses[entry["method"], entry["route"]][entry["status"]] += 1
    for document in documents:
        for method, route in operations(document):
            answers = statuses[method, route]
            say(f"  {method:5} {route:60}", *(f"{status}: {n}" for status, n in sorted(answers.items())))
            succeeded = sum(n for status, n in answers.items() if 200 <= status < 300)
            if succeeded < least:
                faults.append(f"{method} {route} succeeded {succeeded} times: what is behind it was hardly tested")
    return faults


@contextlib.contextmanager
def sqlite(work):
    yield f"sqlite:{work}/dragoman.db"


@contextlib.contextmanager
def postgres(work):
    dsn = os.environ[DSN_VARIABLE]
    schema = "schemathesis_" + secrets.token_hex(8)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        try:
            url = urllib.parse.urlsplit(dsn)
            query = urllib.parse.urlencode([*urllib.parse.parse_qsl(url.query), ("search_path", schema)])
            yield url._replace(query=query).geturl()
        finally:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


def test_engine(children, engine, options, lines):
    """Tests everything on one engine, and gives what is wrong."""

    def say(*words):
        lines.append(" ".join(words))

    say(f"\n== {engine.__name__}")
    try:
        with tempfile.TemporaryDirectory(prefix="dragoman-schemathesis-") as work, engine(work) as database:
            server = Server(children, options.program, database, pathlib.Path(work))
            faults, documents = [], []
            with server.serve():
                tokens = server.write_tokens()
                # In the catalogue's order the directory's own document comes last: then there is a history to read.
                for path in server.documents():
                    document, found = test(children, server, path, tokens, options, say)
                    documents.append(document)
                    faults += found
            faults += check_log(server, documents, least_successes(options.examples), say)
    except (Fault, OSError, psycopg.Error, subprocess.SubprocessError) as fault:
        faults = [str(fault)]
    return [f"{engine.__name__}: {fault}" for fault in faults]


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(ROOT / "dragoman"), help="the built program (%(default)s)")
    parser.add_argument("--examples", type=int, default=300, help="how many requests to invent for each operation (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what the requests are invented from (%(default)s)")
    return parser.parse_args()


def engines():
    if os.environ.get(DSN_VARIABLE):
        return [sqlite, postgres]
    if os.environ.get("CI") == "true":
        sys.exit(f"{DSN_VARIABLE} is not set, and CI is true")
    print(f"{DSN_VARIABLE} is not set: Postgres is skipped")
    return [sqlite]


def main():
    options = parse()
    children = Children()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: children.stop())
    faults = []

    def run(engine):
        lines = []
        found = test_engine(children, engine, options, lines)
        # At once, as the other engine prints too.
        print("\n".join(lines), flush=True)
        faults.extend(found)

    # The engines beside each other: most of the time is Schemathesis's own, which uses one processor.
    threads = [threading.Thread(target=run, args=(engine,)) for engine in engines()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        sys.exit("\n" + "\n".join(faults))


if __name__ == "__main__":
    main()
