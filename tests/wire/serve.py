"""An HTTP server: GET /N answers with N MiB that are all different, and prints their SHA-256."""

import hashlib
import http.server
import random
import socket
import sys

BLOCK = random.Random(7).randbytes(1 << 20)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        blocks = int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(blocks << 20))
        self.end_headers()
        digest = hashlib.sha256()
        for number in range(blocks):
            block = number.to_bytes(8, "big") + BLOCK[8:]
            digest.update(block)
            self.wfile.write(block)
        print(digest.hexdigest(), flush=True)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET


server = Server((sys.argv[1], 80), Handler)
print("listening", flush=True)
server.serve_forever()
