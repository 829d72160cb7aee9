"""Canaille, an OpenID Connect provider, in its own process and environment: `python provider.py REDIRECT_URI`.

Prints its port on one line, then serves 127.0.0.1 until it is killed. `ann`, in the group `finance`, signs in with the
password `ann-password`; its client `threada` has the secret `client-secret`.
"""

import os
import sys
from datetime import UTC, datetime

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "true"

from canaille import create_app
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server


def serve(redirect_uri: str) -> None:
    server = make_server("127.0.0.1", 0, None, threaded=True)
    key = RSAKey.generate_key(2048)
    key.ensure_kid()
    app = create_app(
        {
            "SECRET_KEY": "not secret",
            "SERVER_NAME": f"127.0.0.1:{server.server_port}",
            "PREFERRED_URL_SCHEME": "http",
            "WTF_CSRF_ENABLED": False,
            "SESSION_COOKIE_SECURE": False,
            "CANAILLE": {"DATABASE": "memory"},
            "CANAILLE_OIDC": {
                "ACTIVE_JWKS": [key.as_dict(private=True)],
                "TRUSTED_DOMAINS": ["testserver"],
            },
        },
        env_file=None,
    )
    from canaille.app import models
    from canaille.backends import Backend

    with app.app_context(), Backend.instance.session():
        ann = models.User(
            user_name="ann",
            formatted_name="Ann Lee",
            family_name="Lee",
            emails=["ann@corp.example"],
            password="ann-password",
        )
        Backend.instance.save(ann)
        Backend.instance.save(models.Group(display_name="finance", members=[ann]))
        client = models.Client(
            client_id="threada",
            client_name="Threada",
            client_uri=redirect_uri,
            redirect_uris=[redirect_uri],
            client_id_issued_at=datetime.now(UTC),
            client_secret="client-secret",
            grant_types=["authorization_code"],
            response_types=["code"],
            scope=["openid", "email", "profile", "groups"],
            token_endpoint_auth_method="client_secret_basic",
        )
        Backend.instance.save(client)
        client.audience = [client]
        Backend.instance.save(client)
    server.app = app
    print(server.server_port, flush=True)
    server.serve_forever()


serve(sys.argv[1])
