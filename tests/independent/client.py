# SPDX-License-Identifier: Apache-2.0
"""Speaks docs/protocol.md: frames over TLS 1.3 with the certificates of a profile."""
import os
import socket
import ssl

from schema import PROTOCOL

FRAME_MAX = 4194304


class Refused(Exception):
    """An Error as answer."""

    def __init__(self, error):
        super().__init__(f"error {error.get('code', 0)}: {error.get('text', '')}")
        self.code, self.recorded = error.get("code", 0), error.get("recorded", 0)


class Client:
    def __init__(self, profile, address, origin):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(os.path.join(profile, "ca.pem"))
        context.load_cert_chain(os.path.join(profile, "client.pem"), os.path.join(profile, "client.key"))
        host, _, port = address.rpartition(":")
        plain = socket.create_connection((host.strip("[]"), int(port)), timeout=120 * int(os.environ.get("LEDGERD_TIME_FACTOR", "1")))
        self.socket = context.wrap_socket(plain, server_hostname=host.strip("[]"))
        self.last = 0
        self.hello = self.ask("hello", version_min=1, version_max=1, program="independent", origin=origin)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError("the server ended the connection")
            data += part
        return data

    def receive(self):
        size = int.from_bytes(self._exactly(4), "big")
        if not 1 <= size <= FRAME_MAX:
            raise ValueError("the length of a frame is out of range")
        return PROTOCOL.decode("Response", self._exactly(size))

    def send(self, op, **values):
        self.last += 1
        frame = PROTOCOL.encode("Request", {"id": self.last, op: values})
        self.socket.sendall(len(frame).to_bytes(4, "big") + frame)
        return self.last

    def answers(self, op, **values):
        """All responses of a request, each with one credit given back for a stream."""
        request, more = self.send(op, **values), True
        while more:
            response = self.receive()
            if "error" in response:
                raise Refused(response["error"])
            if response.get("id") != request or op not in response:
                raise ValueError("an answer to another request")
            more = bool(response.get("more"))
            yield response[op]
            if more:
                self.send("credit", stream=request, responses=1)

    def ask(self, op, **values):
        return next(self.answers(op, **values))
