"""An identity provider on loopback, on another host name than the managers, as a browser sees one: a page of consent and
three answers for the manager. `openssl` makes and uses its key."""

import base64
import hashlib
import json
import secrets
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlencode, urlsplit

CLIENT, SECRET = "desk", "s3cret:+&%"


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    def __init__(self, folder, person):
        self.folder, self.person, self.grants = folder, person, {}
        self._openssl("genrsa", "-out", "provider.key", "2048")
        modulus = self._openssl("rsa", "-in", "provider.key", "-noout", "-modulus").decode().strip().split("=")[1]
        self.key = {"kty": "RSA", "use": "sig", "kid": "1", "n": text(bytes.fromhex(modulus)), "e": "AQAB"}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.get(self, urlsplit(self.path))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                provider.token(self, parse_qs(body.decode()))

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.issuer = f"https://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, name="provider", daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def get(self, request, url):
        if url.path == "/.well-known/openid-configuration":
            at = {name: self.issuer + path for name, path in
                  [("authorization_endpoint", "/authorize"), ("token_endpoint", "/token"), ("jwks_uri", "/keys")]}
            self.answer(request, {"issuer": self.issuer, **at})
        elif url.path == "/keys":
            self.answer(request, {"keys": [self.key]})
        elif url.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            code = secrets.token_hex(16)
            self.grants[code] = asked
            back = asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]})
            page = f'<!DOCTYPE html><title>Provider</title><a id="yes" href="{back.replace("&", "&amp;")}">Log in</a>'
            self.answer(request, page, "text/html; charset=utf-8")
        else:
            self.answer(request, {}, status=404)

    def token(self, request, sent):
        basic = base64.b64encode(f"{quote(CLIENT, safe='')}:{quote(SECRET, safe='')}".encode()).decode()
        grant = self.grants.pop(sent.get("code", [""])[0], None)
        challenge = text(hashlib.sha256(sent.get("code_verifier", [""])[0].encode()).digest())
        is_right = grant and challenge == grant["code_challenge"] and request.headers["Authorization"] == f"Basic {basic}"
        if not is_right:
            return self.answer(request, {"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": self.person, "aud": CLIENT, "iat": now, "exp": now + 60,
                  "nonce": grant["nonce"]}
        parts = [{"alg": "RS256", "typ": "JWT", "kid": "1"}, claims]
        message = ".".join(text(json.dumps(part).encode()) for part in parts)
        signed = self._openssl("dgst", "-sha256", "-sign", "provider.key", given=message.encode())
        return self.answer(request, {"token_type": "Bearer", "id_token": f"{message}.{text(signed)}"})

    def answer(self, request, body, kind="application/json", status=200):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _openssl(self, *arguments, given=None):
        return subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, input=given).stdout
