"""Reads what a server sends with h11, which takes nothing that is not well-formed.

Reads a list of exchanges as JSON: a port, the parts of what is sent, and the method of each request in it. A part after
the first is sent when an interim response asks for it. Prints a line for each exchange: the statuses that came, and
`cut` if the last response was; `kept` or `closed` for what became of the connection.
"""

import json
import socket
import sys

import h11

PATIENCE = 60


def exchange(port, parts, methods):
    line = socket.create_connection(("127.0.0.1", port), PATIENCE)
    parts = [part.encode("latin-1") for part in parts]
    line.sendall(parts.pop(0))
    reader = h11.Connection(h11.CLIENT)
    said = []
    for number, method in enumerate(methods):
        if number > 0:
            reader.start_next_cycle()
        # It needs to know the method; what was really sent is none of its business.
        reader.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        reader.send(h11.EndOfMessage())
        while True:
            try:
                event = reader.next_event()
            except h11.RemoteProtocolError as error:
                if "closed connection without sending complete message body" not in str(error):
                    raise
                return said + ["cut"]
            if event is h11.NEED_DATA:
                reader.receive_data(received(line))
            elif isinstance(event, h11.InformationalResponse):
                said.append(str(event.status_code))
                line.sendall(parts.pop(0))
            elif isinstance(event, h11.Response):
                said.append(str(event.status_code))
                response = event
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                assert isinstance(event, h11.Data), event
        says_close = reader.their_state is h11.MUST_CLOSE
        if says_close:
            break
    # h11 holds that nothing is kept in HTTP/1.0.
    fields = dict(response.headers)
    if says_close and fields.get(b"connection", b"").lower() != b"keep-alive":
        said.append("closed")
    else:
        said.append("kept")
        line.shutdown(socket.SHUT_WR)
    # Whatever is behind the last response belongs to none.
    rest = reader.trailing_data[0] + received(line)
    assert rest == b"", rest
    return said


def received(line):
    try:
        return line.recv(1 << 16)
    except ConnectionResetError:
        return b""


for wanted in json.load(sys.stdin):
    try:
        print(*exchange(**wanted))
    except Exception as error:
        print(type(error).__name__, error)
