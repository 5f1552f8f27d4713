"""Verifies deliveries with the Python library of Standard Webhooks."""

import http.server
import json
import os
import queue
import subprocess
import threading
import time
import unittest
import urllib.request

from standardwebhooks import Webhook, WebhookVerificationError

FOLDER = os.environ["SERVER_FOLDER"]
USER = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73"


def dragoman(*arguments):
    """Runs a command, and returns what it prints as a dictionary."""
    run = subprocess.run(["./dragoman", *arguments], cwd=FOLDER, check=True, capture_output=True, text=True)
    return dict(line.split("=", 1) for line in run.stdout.splitlines() if "=" in line)


def rename(name):
    request = urllib.request.Request(
        os.environ["SERVER_URL"] + USER,
        method="PATCH",
        data=json.dumps({"mobile": name}).encode(),
        headers={"Authorization": "Bearer " + os.environ["TOKEN_MANAGER"], "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


class Receiver(http.server.ThreadingHTTPServer):
    def __init__(self):
        self.deliveries = queue.Queue()
        deliveries = self.deliveries

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                deliveries.put((body, dict(self.headers)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Deliveries(unittest.TestCase):
    def test_signatures(self):
        receiver = Receiver()
        self.addCleanup(receiver.shutdown)
        added = dragoman("webhook", "add", "--dev", "--webhook-allow-http", "--customer", "3393", "--url", f"http://127.0.0.1:{receiver.server_port}/")
        self.addCleanup(dragoman, "webhook", "remove", "--dev", added["webhook_id"])
        secrets = [added["secret"]]
        for overlap in ["1h", "1h", "0s"]:
            rename(f"python {len(secrets)}")
            self.verify(receiver, secrets)
            secrets.append(dragoman("webhook", "rotate", "--dev", added["webhook_id"], "--overlap", overlap)["secret"])
        # The last rotation ended the secret before it at once, and left those to their time that were replaced earlier.
        ended = secrets.pop(-2)
        rename("python at last")
        body, headers = self.verify(receiver, secrets)
        with self.assertRaises(WebhookVerificationError):
            Webhook(ended).verify(body, headers)
        for tampered in [body.replace("user.changed", "user.erased"), body + " "]:
            with self.assertRaises(WebhookVerificationError):
                Webhook(secrets[-1]).verify(tampered, headers)

    def verify(self, receiver, secrets):
        """Verifies deliveries until one is signed with all secrets, as those that were under way during a rotation are not."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            body, headers = receiver.deliveries.get(timeout=30)
            signatures = len(headers["Webhook-Signature"].split(" "))
            verified = 0
            for secret in secrets:
                try:
                    event = Webhook(secret).verify(body, headers)
                except WebhookVerificationError:
                    continue
                verified += 1
                self.assertEqual(event["type"], "user.changed")
                self.assertEqual(headers["Webhook-Id"], f"chg_{event['data']['number']}")
            self.assertGreater(verified, 0)
            if verified == len(secrets) == signatures:
                return body, headers
            time.sleep(0.1)  # the server limits the requests of a caller
            rename(f"again {verified} {signatures} {headers['Webhook-Id']}")
        self.fail("no delivery has the signatures of all secrets")


if __name__ == "__main__":
    unittest.main()
