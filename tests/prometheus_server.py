"""A real Prometheus server that scrapes a daemon every two seconds."""

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from needs import needs
from waiting import HANG_S, wait_until

JOB = "streamd"
"""The name of the job that the alerts expect."""
CONFIG = """\
global: {{scrape_interval: 2s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: {job}
    static_configs: [{{targets: ["{target}"]}}]
"""


def scraping(target: str, rules: Path) -> str:
    """A configuration that scrapes a host and port every two seconds, with a file of rules."""
    return CONFIG.format(rules=rules, job=JOB, target=target)


class PrometheusServer:
    """A server of Debian's package, in a directory of its own.

    Args:
        home: Its directory.
        config: Its configuration.
    """

    def __init__(self, home: Path, config: str) -> None:
        needs("prometheus", "promtool")
        self._home = home
        (home / "prometheus.yml").write_text(config)
        checked = subprocess.run(
            ["promtool", "check", "config", home / "prometheus.yml"],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout + checked.stderr
        self._began_s = time.time()
        self._process = self._start()
        while self._process.poll() is not None:  # another program took the port in between
            self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            place = f"127.0.0.1:{free.getsockname()[1]}"
        self._url = f"http://{place}"
        with (self._home / "log").open("ab") as log:
            process = subprocess.Popen(
                ["prometheus", f"--config.file={self._home}/prometheus.yml",
                 f"--storage.tsdb.path={self._home}/data", f"--web.listen-address={place}"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        wait_until(lambda: process.poll() is not None or self._is_ready())
        return process

    def close(self) -> None:
        """Stop the server."""
        self._process.terminate()
        self._process.wait(HANG_S)

    def _is_ready(self) -> bool:
        try:
            with _open(f"{self._url}/-/ready") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def get(self, path: str, **query: object) -> Any:
        """Return the data of an answer of its API.

        Raises:
            HTTPError: It refuses the query.
        """
        with _open(f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
            return json.load(answer)["data"]

    def series(self, query: str) -> list[dict[str, Any]]:
        """Return all series of a query, from the start of the server until now."""
        now_s = time.time()
        found: list[dict[str, Any]] = self.get(
            "query_range", query=query, start=self._began_s, end=now_s, step=1
        )["result"]
        return found


def _open(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(url, timeout=HANG_S)
