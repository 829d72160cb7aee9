"""Keys, hosts, proxies and cookies."""

from urllib.parse import urlsplit

from threada_site.settings.environment import flag, key, key_file, keys, number, text, words

DEBUG = False
# Each may contain several keys, separated by white space, during a rotation: the first is used, all are accepted.
SECRET_KEY, *SECRET_KEY_FALLBACKS = keys("secret_key")
THREADA_CURSOR_KEYS = keys("cursor_key")
# Likewise: the first wraps the keys of data subjects, all unwrap them (`rotate_people_key`).
THREADA_PEOPLE_KEY = key("people_key")
# Signs inclusion promises, if answers contain them. The sealer endorses the key and needs it too.
THREADA_PROMISE_KEY = key("promise_key") if flag("THREADA_INCLUSION_PROMISES") else ""
THREADA_PROMISE_SECONDS = number("THREADA_PROMISE_SECONDS", 86_400)
# Sign receipts: private keys of this process, and public keys of all. Without them, files in the data directory.
THREADA_RECEIPT_KEY = text("THREADA_RECEIPT_KEY")
THREADA_RECEIPT_PUBLIC_KEYS = text("THREADA_RECEIPT_PUBLIC_KEYS")
# Several keys, as above: monitoring sends one of them to read `/metrics`.
THREADA_METRICS_TOKENS = keys("metrics_token")
# Secrets at rest: keys separated by white space, of which the first encrypts; or a file with one per line.
THREADA_SECRETS_KEY = text("THREADA_SECRETS_KEY")
THREADA_SECRETS_KEY_FILE = text("THREADA_SECRETS_KEY_FILE") or ("" if THREADA_SECRETS_KEY else key_file("secrets_key"))

_public = urlsplit(text("THREADA_PUBLIC_URL"))
_is_https = _public.scheme == "https"

ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *([_public.hostname] if _public.hostname else [])]
ALLOWED_HOSTS += words("THREADA_ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"] if _public.netloc else []

# For a proxy that sets X-Forwarded-Proto and X-Forwarded-For, and removes what clients send under these names.
THREADA_TRUSTED_PROXY = flag("THREADA_TRUSTED_PROXY")
if THREADA_TRUSTED_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True

# Browsers accept a cookie whose name begins with `__Host-` only over TLS, without Domain, and for the path `/`: neither
# another host of the domain nor somebody who changes plain HTTP on the way can set it.
_cookie_prefix = "__Host-" if _is_https else ""
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _is_https
SECURE_HSTS_SECONDS = 31_536_000 if _is_https else 0
# Sessions: an engine of its own stores digests of keys, and ends sessions after these limits.
SESSION_ENGINE = "threada_site.console.session_engine"
THREADA_SESSION_IDLE_MINUTES = number("THREADA_SESSION_IDLE_MINUTES", 60)
THREADA_SESSION_HOURS = number("THREADA_SESSION_HOURS", 12)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = f"{_cookie_prefix}threada_session"
CSRF_COOKIE_NAME = f"{_cookie_prefix}threada_csrf"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True

# Names the accounts that signed in from a browser, signed. It grants no access.
THREADA_BROWSER_COOKIE = f"{_cookie_prefix}threada_browser"
# Binds a sign-in at an identity provider to the browser that started it, for ten minutes.
THREADA_SIGN_IN_COOKIE = f"{_cookie_prefix}threada_sign_in"

PASSWORD_HASHERS = [
    "threada_site.identity.sign_in.hashing.PasswordHasher",
    "threada_site.identity.sign_in.hashing.EarlierPasswordHasher",
]
AUTH_USER_MODEL = "tenancy.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "threada_site.identity.sign_in.password_patterns.PatternValidator"},
]
# Object permissions are read in SQL by `threada_grants`; django-guardian's anonymous user is not used.
ANONYMOUS_USER_NAME = None
GUARDIAN_MONKEY_PATCH_USER = False
GUARDIAN_MONKEY_PATCH_GROUP = False
SILENCED_SYSTEM_CHECKS = [
    # ConsoleMiddleware runs sessions, sign-in and messages, so that API requests do not pay for them.
    "admin.E408",
    "admin.E409",
    "admin.E410",
    "mail.W001",  # without THREADA_SMTP_URL no mail is sent, and every message reports that
    "auth.E003",  # names are unique among people, who alone sign in
    "security.W002",  # `response_policies` sets X-Frame-Options on every response
    "security.W003",  # ConsoleMiddleware runs the CSRF middleware; the API knows no cookies
    "security.W005",  # HSTS for this host only: other hosts of the domain are not this instance's to decide about
    "security.W021",  # likewise, and preloading is for whole domains
    "security.W008",  # the proxy in front redirects; load balancers and monitoring read this server over plain HTTP
    "guardian.W001",  # its authentication backend is not installed, because permissions come from ActingContext
]
