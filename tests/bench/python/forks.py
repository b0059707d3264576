"""A server that imports an application once, and forks for each request: `forks.py ADDRESS PORT MODULE`."""
import importlib
import os
import signal
import socket
import sys
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler

MOST = 200  # children at the same time

address, port, module = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sys.path.insert(0, os.getcwd())
application = importlib.import_module(module).app
signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Handler(WSGIRequestHandler):
    """As `wsgiref` has it, for a server that knows its name: looking it up would cost each request time."""

    def address_string(self):
        return self.client_address[0]


class Server:
    """What the handler asks of its server."""

    base_environ = {"SERVER_NAME": address, "SERVER_PORT": str(port), "SCRIPT_NAME": "", "GATEWAY_INTERFACE": "CGI/1.1"}

    def get_app(self):
        return application


ServerHandler.wsgi_multithread = False
listener = socket.create_server((address, port), backlog=1024)
children = 0
while True:
    client, peer = listener.accept()
    while children and os.waitpid(-1, 0 if children >= MOST else os.WNOHANG)[0]:
        children -= 1
    if os.fork() == 0:
        try:
            listener.close()
            Handler(client, peer, Server())
        finally:
            os._exit(0)
    children += 1
    client.close()
