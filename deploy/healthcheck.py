"""Is the process in this container well? healthcheck.py PORT PATH ends 0 where GET answers 200.

A bare socket: a check runs every few seconds in every container, and an HTTP client takes 100 ms to import.
"""

# ruff: noqa: INP001, T201 (a script in a folder that is no package)
import socket
import sys

port, path = int(sys.argv[1]), sys.argv[2]
try:
    with socket.create_connection(("127.0.0.1", port), timeout=4) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = connection.makefile("rb").read(4096).decode(errors="replace")
except OSError as error:
    sys.exit(f"{path} on port {port}: {error}")
head, _, body = answer.partition("\r\n\r\n")
print(body)
sys.exit(0 if head.split(" ")[1:2] == ["200"] else 1)
