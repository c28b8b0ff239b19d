"""`vlmbench report` and `vlmbench view`: a run as pages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any

from vlmbench.cli._folders import data_folder
from vlmbench.cli._printing import display, say
from vlmbench.registry import catalogue

if TYPE_CHECKING:
    from vlmbench.report.site import Data, Follower

HOST = "127.0.0.1"


def data_of(include_paths: Sequence[Path], data_root: Path | None, *, allow_network: bool) -> Data:
    """Return where documents are drawn from again."""
    from vlmbench.report.site import Data

    return Data(
        catalogue=catalogue(include_paths),
        root=data_folder(data_root),
        allow_network=allow_network,
    )


def report(runs: Sequence[Path], output: Path, data: Data, *, most: int) -> None:
    """Write runs as a site, and say where it is, how large, and what is not in it."""
    from vlmbench.report.site import in_words, site

    written = site(runs, output, data, most=most, tell=lambda line: display(line, style="dim"))
    for remark in written.remarks:
        say(remark)
    say(f"Site: {written.index} ({in_words(written.size)})")


def view(run: Path, data: Data, *, port: int, most: int) -> None:
    """Serve a run's site on loopback until Ctrl-C."""
    from vlmbench.report.site import Follower

    with TemporaryDirectory(prefix="vlmbench-") as folder:
        follower = Follower(run, Path(folder), data, most=most)
        ended = follower.update()
        with ThreadingHTTPServer((HOST, port), partial(_Pages, directory=folder)) as server:
            server.daemon_threads = True
            Thread(target=server.serve_forever, daemon=True).start()
            say(f"http://{HOST}:{server.server_port}/  (Ctrl-C ends it)")
            try:
                _follow(follower, ended)
            except KeyboardInterrupt:
                say("Ended.")
            finally:
                server.shutdown()


def _follow(follower: Follower, ended: bool) -> None:
    """Keep a site up to date for as long as it is served."""
    from vlmbench.report.site import SECONDS

    while True:
        time.sleep(SECONDS)
        ended = ended or follower.update()


class _Pages(SimpleHTTPRequestHandler):
    """Gives files of one folder to browsers on this machine."""

    def send_head(self) -> Any:
        """Refuse other names for this server: a page from elsewhere may have pointed one at it."""
        assert isinstance(self.server, ThreadingHTTPServer), "served by `view` alone"
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self.send_error(403, "This server answers to its own address alone")
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        """Show no folder."""
        del path
        self.send_error(404)

    def end_headers(self) -> None:
        """Say that nothing is to be kept or taken for another kind of file."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Print nothing for each file."""
