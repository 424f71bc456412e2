"""A small service for tests: pages, health, a slow answer, a WebSocket."""

SERVICE = """\
import base64, hashlib, http.server, json, os, signal, struct, time

visits = 0


def words():
    return open("words.txt").read().strip()


def leave(*_):
    time.sleep(0.2)
    if data := os.environ.get("HONK_DATA_DIR"):
        open(f"{data}/left-{words().replace(' ', '-')}", "w").close()
    os._exit(0)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global visits
        if self.path == "/words":
            return self.talk()
        visits += 1
        if self.path == "/health":
            if "mortal" in words() and visits > 1:
                print("the heart stopped", flush=True)
                os._exit(4)
            return self.answer(503 if "ill" in words() else 200, words().encode())
        if self.path == "/version":
            return self.answer(200, words().encode())
        if self.path == "/slow":
            while not os.path.exists(f"{os.environ['HONK_DATA_DIR']}/go"):
                time.sleep(0.02)
            return self.answer(200, words().encode())
        if self.path == "/environment":
            return self.answer(200, json.dumps(dict(os.environ)).encode())
        if self.path == "/away":
            return self.answer(302, b"", Location="http://localhost:%s/there?x=1" % os.environ["PORT"])
        if self.path == "/told":
            told = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
            cookie = "mine=1; Domain=localhost; Path=/"
            return self.answer(200, told, **{"Set-Cookie": cookie, "Strict-Transport-Security": "max-age=9"})
        if self.path == "/die":
            print("the pump is broken", flush=True)
            os._exit(3)
        page = f"<!doctype html><title>Words</title><p>{words()}<p id=n>{visits}"
        self.answer(200, page.encode(), **{"Content-Type": "text/html"})

    def do_POST(self):
        self.answer(200, self.rfile.read(int(self.headers["content-length"])).upper())

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def talk(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accepted = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        for name, value in {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accepted}.items():
            self.send_header(name, value)
        self.end_headers()
        head = self.rfile.read(2)
        mask = self.rfile.read(4)
        said = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(head[1] & 127)))
        reply = b"heard " + said
        self.wfile.write(bytes([0x81, len(reply)]) + reply + b"\\x88\\x02" + struct.pack("!H", 1000))
        self.close_connection = True

    def log_message(self, *_):
        pass


signal.signal(signal.SIGTERM, leave)
print("listening soon", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
