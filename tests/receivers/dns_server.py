"""A DNS server for tests, which answers TXT queries over UDP on 127.0.0.1."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class DnsServer:
    """`texts` are the TXT records by name, without the last dot. `fails`: answer SERVFAIL. `is_silent`: do not answer."""

    def __init__(self, server: socket.socket) -> None:
        self.socket = server
        self.texts: dict[str, list[str]] = {}
        self.fails = self.is_silent = False
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                data, client = self.socket.recvfrom(4096)
            except OSError:
                return
            query = dns.message.from_wire(data)
            name = str(query.question[0].name).rstrip(".").lower()
            self.asked.append(name)
            if self.is_silent:
                continue
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            if self.fails:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif name not in self.texts:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            else:
                quoted = [f'"{text}"' for text in self.texts[name]]
                answer.answer.append(dns.rrset.from_text_list(query.question[0].name, 60, "IN", "TXT", quoted))
            self.socket.sendto(answer.to_wire(), client)


@contextmanager
def dns_server() -> Iterator[DnsServer]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        server = DnsServer(listening)
        threading.Thread(target=server.serve, daemon=True).start()
        yield server
