"""A store in a thread of one process, reached by the others over TCP.

    server -> client    magic and version, a nonce
    client -> server    a nonce, HMAC(secret, "client" + both nonces)
    server -> client    HMAC(secret, "server" + both nonces), or silence
    then                requests and answers: length, JSON

Who cannot show that he knows the secret is not spoken to. Beyond the loopback address a secret is
required (environment variable MASTER_SECRET, the same everywhere; the launcher makes
one for its own processes). It keeps strangers out; it does not hide what is said: the network
between the machines of one job is trusted. JSON is all that is ever parsed.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import socket
import struct
import threading
import time
from datetime import timedelta
from typing import Any

from .errors import DistNetworkError, DistStoreError
from .store import DEFAULT_TIMEOUT, Store, Table, apply, seconds

SECRET = "MASTER_SECRET"
MAGIC = b"minigrad-store-1"
NONCE = 32
LIMIT = 1 << 26  # no honest message is larger
_LENGTH = struct.Struct("!I")


def secret_for(host: str) -> bytes:
    """The shared secret; DistNetworkError if `host` needs one and there is none."""
    secret = os.environ.get(SECRET, "").encode()
    if not secret and not is_loopback(host):
        raise DistNetworkError(
            f"TCPStore: {host} can be reached from other machines, and there is no secret\n"
            f"  help: set the environment variable {SECRET} to the same long random text in every"
            " process, or use 127.0.0.1"
        )
    return secret


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proof(secret: bytes, who: bytes, *nonces: bytes) -> bytes:
    return hmac.digest(secret, who + b"".join(nonces), "sha256")


def _receive(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionResetError("the other side has closed the connection")
        data += piece
    return bytes(data)


def _send_message(connection: socket.socket, message: Any) -> None:
    data = json.dumps(message).encode()
    connection.sendall(_LENGTH.pack(len(data)) + data)


def _receive_message(connection: socket.socket) -> Any:
    (length,) = _LENGTH.unpack(_receive(connection, 4))
    if length > LIMIT:
        raise ConnectionResetError(f"a message of {length} bytes")
    return json.loads(_receive(connection, length))


def _texts(values: Any) -> Any:
    """bytes to str and back: JSON has no bytes."""
    return [v.decode("latin-1") if isinstance(v, bytes) else v for v in values]


class _Server:
    """The table, a thread that accepts, and a thread for each client."""

    def __init__(self, host: str, port: int, patience: float):
        self.secret, self.patience = secret_for(host), patience
        self.table, self.changed = Table(), threading.Condition()
        self.open = True
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self.listener = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            raise DistNetworkError(
                f"TCPStore: cannot listen on {host}:{port}: {error.strerror or error}\n"
                "  help: the port may be in use by another program or another job; choose another"
                " one (MASTER_PORT, --master-port), or port 0 for a free one"
            ) from error
        self.port = self.listener.getsockname()[1]
        self.connections: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="TCPStore", daemon=True).start()

    def _accept(self) -> None:
        # neither this thread nor those of the clients hold the TCPStore: it can be collected
        while self.open:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return  # closed
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(self.patience)
                if not self._greet(connection):
                    return
                connection.settimeout(None)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self.changed:
                    self.connections.add(connection)
                while self.open:
                    _send_message(connection, self._answer(*_receive_message(connection)))
        except (OSError, ValueError, TypeError):
            pass  # the client has gone, or talks nonsense
        with self.changed:
            self.connections.discard(connection)

    def _greet(self, connection: socket.socket) -> bool:
        mine = os.urandom(NONCE)
        connection.sendall(MAGIC + mine)
        theirs, proof = _receive(connection, NONCE), _receive(connection, 32)
        if not hmac.compare_digest(proof, _proof(self.secret, b"client", mine, theirs)):
            return False
        connection.sendall(_proof(self.secret, b"server", mine, theirs))
        return True

    def _answer(self, operation: str, *arguments: Any) -> list[Any]:
        with self.changed:
            if operation == "wait":
                keys, patience = arguments
                there = self.changed.wait_for(
                    lambda: all(key in self.table.values for key in keys), min(patience, 3600)
                )
                return [there]
            given = [a.encode("latin-1") if isinstance(a, str) else a for a in arguments[1:]]
            result = apply(self.table, operation, [*arguments[:1], *given])
            if operation in ("set", "add", "append", "compare_set"):
                self.changed.notify_all()
            return _texts([result])

    def close(self) -> None:
        self.open = False
        with self.changed:
            connections = list(self.connections)
        for one in [self.listener, *connections]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was closed by the other side
            one.close()


class TCPStore(Store):
    """The store at host_name:port; the process with `is_master` serves it from a thread.

    With `world_size` and `wait_for_workers` the master waits until so many have connected. Port 0
    is a free one (`.port` tells which). DistNetworkError if the port is in use, if nothing answers
    within the timeout, or if what answers is no store of this job.
    """

    def __init__(
        self,
        host_name: str,
        port: int,
        world_size: int | None = None,
        is_master: bool = False,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
        wait_for_workers: bool = True,
    ):
        self._lock, self._server = threading.Lock(), None
        super().__init__(timeout)
        self.host, self.world_size = host_name, world_size
        if is_master:
            self._server = _Server(host_name, port, self._timeout)
            port = self._server.port
        self.port = port
        try:
            self._connection = self._connect()
            here = self.add("store/processes", 1)
            if wait_for_workers and world_size and is_master:
                self._wait_for_workers(world_size, here)
        except BaseException:
            self.close()
            raise

    def _wait_for_workers(self, world_size: int, here: int) -> None:
        deadline = time.monotonic() + self._timeout
        while here < world_size:
            if time.monotonic() > deadline:
                raise DistStoreError(
                    f"TCPStore: {here} of {world_size} processes have come to {self.host}:"
                    f"{self.port} within {self._timeout:g} s"
                )
            time.sleep(0.005)
            here = self.add("store/processes", 0)

    def _connect(self) -> socket.socket:
        """Try until the server is there; its greeting must show that it is the right one."""
        secret = secret_for(self.host)
        deadline, where = time.monotonic() + self._timeout, f"{self.host}:{self.port}"
        while True:
            left = deadline - time.monotonic()
            try:
                connection = socket.create_connection((self.host, self.port), max(left, 0.01))
                break
            except socket.gaierror as error:
                raise DistNetworkError(f"TCPStore: unknown host in {where}: {error}") from error
            except OSError as error:
                if left <= 0.05:
                    raise DistNetworkError(
                        f"TCPStore: nobody answers at {where} within {self._timeout:g} s: {error}\n"
                        "  help: is rank 0 running, and are address and port the same everywhere?"
                    ) from error
                time.sleep(0.02)
        try:
            connection.settimeout(max(left, 1.0))
            greeting = _receive(connection, len(MAGIC) + NONCE)
            if not greeting.startswith(MAGIC):
                raise ConnectionResetError("it speaks another protocol")
            theirs, mine = greeting[len(MAGIC) :], os.urandom(NONCE)
            connection.sendall(mine + _proof(secret, b"client", theirs, mine))
            proof = _receive(connection, 32)
            if not hmac.compare_digest(proof, _proof(secret, b"server", theirs, mine)):
                raise ConnectionResetError("it does not know the secret")
        except OSError as error:
            connection.close()
            raise DistNetworkError(
                f"TCPStore: what answers at {where} is not the store of this job: {error}\n"
                f"  help: another program or job uses the port, or {SECRET} differs"
            ) from error
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _ask(self, patience: float, operation: str, *arguments: Any) -> Any:
        with self._lock:
            try:
                self._connection.settimeout(patience)
                _send_message(self._connection, [operation, *arguments])
                return _receive_message(self._connection)[0]
            except OSError as error:
                raise DistNetworkError(
                    f"TCPStore: lost the store at {self.host}:{self.port} (rank 0 has ended or"
                    f" hangs): {error}"
                ) from error

    def _call(self, operation: str, *arguments: Any) -> Any:
        answer = self._ask(self._timeout + 10, operation, *arguments[:1], *_texts(arguments[1:]))
        return answer.encode("latin-1") if isinstance(answer, str) else answer

    def wait(self, keys: Any, timeout: timedelta | float | None = None) -> None:
        patience = self._timeout if timeout is None else seconds(timeout)
        if not self._ask(patience + 10, "wait", list(keys), patience):
            missing = [key for key in keys if not self.check([key])]
            raise DistStoreError(
                f"Store.wait: nobody has set {', '.join(map(repr, missing))} within {patience:g} s"
            )

    def __del__(self) -> None:
        self.close()

    def clients(self) -> int:
        """How many connections there are, if the store is served here: one of them is its own."""
        return 0 if self._server is None else len(self._server.connections)

    def close(self) -> None:
        """Close the connection, and the server if it is here."""
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()
        if self._server is not None:
            self._server.close()
