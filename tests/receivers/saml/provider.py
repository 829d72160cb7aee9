"""pysaml2's SAML identity provider. Arguments: file with the service's metadata, folder for keys. Prints its port.

Anybody signs in with any name and password. `ann` is in the group finance.
"""

from __future__ import annotations

import html
import shutil
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAME_FORMAT_UNSPECIFIED, NAMEID_FORMAT_PERSISTENT
from saml2.server import Server
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

GROUPS = {"ann": ["finance", "everybody"]}


def write_keys(folder: Path) -> tuple[str, str]:
    key = rsa.generate_private_key(65537, 2048)
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "corp")]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    )
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    (folder / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return str(folder / "key.pem"), str(folder / "cert.pem")


def provider(address: str, service: str, folder: Path) -> Server:
    key, certificate = write_keys(folder)
    config = {
        "entityid": f"{address}/metadata",
        "service": {
            "idp": {
                "endpoints": {"single_sign_on_service": [(f"{address}/sso", BINDING_HTTP_REDIRECT)]},
                "policy": {"default": {"lifetime": {"minutes": 5}, "name_form": NAME_FORMAT_UNSPECIFIED,
                                       "nameid_format": NAMEID_FORMAT_PERSISTENT}},
                "name_id_format": [NAMEID_FORMAT_PERSISTENT],
                "sign_assertion": True,
                "sign_response": True,
            }
        },
        "metadata": {"local": [service]},
        "key_file": key,
        "cert_file": certificate,
        "signing_algorithm": SIG_RSA_SHA256,
        "digest_algorithm": DIGEST_SHA256,
        "xmlsec_binary": shutil.which("xmlsec1"),
    }  # fmt: skip
    return Server(config=IdPConfig().load(config))


def page(fields: dict[str, str], action: str) -> str:
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">' for name, value in fields.items()
    )
    return (
        f'<form method="post" action="{html.escape(action)}">{hidden}<input name="login"><input name="password" '
        'type="password"><button>Sign in</button></form>'
    )


class Handler(BaseHTTPRequestHandler):
    running: Server

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == "/metadata":
            self._answer(str(entity_descriptor(self.running.config)), "application/samlmetadata+xml")
        else:
            self._answer(page(dict(parse_qsl(asked.query)), "/login"))

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        request = self.running.parse_authn_request(form["SAMLRequest"], BINDING_HTTP_REDIRECT)
        login = form["login"]
        whole: dict[str, Any] = self.running.response_args(request.message, [BINDING_HTTP_POST])
        response = self.running.create_authn_response(
            {"email": f"{login}@corp.example", "name": f"Name of {login}", "groups": GROUPS.get(login, [])},
            userid=login,
            authn={"class_ref": PASSWORDPROTECTEDTRANSPORT, "authn_auth": "corp"},
            sign_alg=SIG_RSA_SHA256,
            digest_alg=DIGEST_SHA256,
            **whole,
        )
        sent = self.running.apply_binding(
            BINDING_HTTP_POST, str(response), whole["destination"], form["RelayState"], response=True
        )
        self._answer(sent["data"])

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self, text: str, content_type: str = "text/html; charset=utf-8") -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.running = provider(f"http://127.0.0.1:{server.server_port}", sys.argv[1], Path(sys.argv[2]))
    print(server.server_port, flush=True)
    server.serve_forever()
