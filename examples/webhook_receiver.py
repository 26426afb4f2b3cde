"""Takes what Millrace tells a webhook, and believes only what is signed.

WEBHOOK_SECRET=whsec_… python examples/webhook_receiver.py 8099
"""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

MOST_BYTES = 64 << 10

verifier = Webhook(os.environ["WEBHOOK_SECRET"])
seen: set[str] = set()  # a real receiver keeps it in its database


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(min(MOST_BYTES, int(self.headers.get("Content-Length", "0"))))
        try:
            told = verifier.verify(body, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError):
            self.send_error(401)
            return
        if self.headers["webhook-id"] not in seen:  # the same may come again
            seen.add(self.headers["webhook-id"])
            job = told["data"]
            print(told["type"], job["job"], job["rows_ok"], job["rows_err"], flush=True)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
