"""TLS contexts that present a client certificate.

Python's `ssl` lets OpenSSL read certificate and key from files only. They are files in memory (memfd_create(2)):
without a name, closed after reading, and not inherited by other programs. pyOpenSSL would take the key itself, but its
connections are no sockets of `ssl`, on which deadlines and kept connections rely.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import httpx


@lru_cache(maxsize=16)
def presenting_context(chain: str, private_key: str, trusted: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """Return a TLS context that presents the certificates in `chain` (PEM, the client's own first).

    It trusts the authorities of `verifying_context`, and those in `trusted`. Equal arguments return the same context,
    so that connections can be kept. Raises `ValueError`, without a value, if the key is not that of the certificate, or
    OpenSSL does not accept one of them.
    """
    context = httpx.create_ssl_context(trust_env=False)
    if trusted is not None and (authorities := trusted.get_ca_certs(binary_form=True)):
        context.load_verify_locations(cadata=b"".join(authorities))
    try:
        with _file_in_memory(chain) as certificate_file, _file_in_memory(private_key) as key_file:
            context.load_cert_chain(certificate_file, key_file, password=_no_passphrase)
    except OSError as error:
        why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"OpenSSL refuses the certificate or the key ({why})") from None
    return context


@contextmanager
def _file_in_memory(text: str) -> Iterator[str]:
    """Provide the path of a file in memory, for this process only."""
    with os.fdopen(os.memfd_create("threada-pem"), "wb") as file:
        file.write(text.encode())
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _no_passphrase() -> str:
    """Answer OpenSSL, which would ask on the terminal."""
    return ""
