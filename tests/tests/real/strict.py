"""Reads the responses of a server with h11, which accepts only well-formed ones.

Reads a list of exchanges as JSON: a port, the parts to send, and the method of each request in them. A part after the
first is sent when an interim response asks for it. Prints a line for each exchange: the statuses of the responses, and
`cut` if the last one was truncated, or `kept` or `closed` for the connection.
"""

import json
import socket
import sys

import h11

TIMEOUT = 60


def exchange(port, parts, methods):
    line = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    parts = [part.encode("latin-1") for part in parts]
    line.sendall(parts.pop(0))
    reader = h11.Connection(h11.CLIENT)
    result = []
    for number, method in enumerate(methods):
        if number > 0:
            reader.start_next_cycle()
        # h11 needs to know the method, but not what was really sent.
        reader.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        reader.send(h11.EndOfMessage())
        while True:
            try:
                event = reader.next_event()
            except h11.RemoteProtocolError as error:
                if "closed connection without sending complete message body" not in str(error):
                    raise
                return result + ["cut"]
            if event is h11.NEED_DATA:
                reader.receive_data(received(line))
            elif isinstance(event, h11.InformationalResponse):
                result.append(str(event.status_code))
                line.sendall(parts.pop(0))
            elif isinstance(event, h11.Response):
                result.append(str(event.status_code))
                response = event
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                assert isinstance(event, h11.Data), event
        says_close = reader.their_state is h11.MUST_CLOSE
        if says_close:
            break
    # h11 assumes that HTTP/1.0 never keeps a connection.
    fields = dict(response.headers)
    if says_close and fields.get(b"connection", b"").lower() != b"keep-alive":
        result.append("closed")
    else:
        result.append("kept")
        line.shutdown(socket.SHUT_WR)
    # Nothing may follow the last response.
    rest = reader.trailing_data[0] + received(line)
    assert rest == b"", rest
    return result


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
