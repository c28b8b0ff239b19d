"""Which servers may be sent images, questions and a key."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from vlmbench.registry._paths import packaged_paths, yaml_files
from vlmbench.spec import Located, ModelSpec, load_files
from vlmbench.types import Problem, VlmbenchError

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]*|[0-9A-Fa-f:]+")


def check_hosts(models: Iterable[Located[ModelSpec]], allowed: Collection[str] = ()) -> None:
    """Refuse models behind a server that nobody has allowed.

    Allowed are this machine, the servers (scheme, host and port) of the models that come with
    vlmbench, and the hosts that are given.

    Args:
        models: Any models; those without a server are allowed.
        allowed: Names or addresses of hosts, at any port.

    Raises:
        VlmbenchError: With every model that is refused, or every given host that cannot be one.
    """
    problems = [
        Problem(
            field="--allow-host",
            message=f"{host!r} is not the name or address of a host",
            remedy="Give it without scheme, port and path: `--allow-host api.example.org`.",
        )
        for host in allowed
        if not _HOST.fullmatch(host)
    ]
    hosts = {host.lower() for host in allowed}
    for model in models:
        server = model.spec.server
        if server is None:
            continue
        host = urlsplit(server.base_url).hostname or ""
        if not (_is_here(host) or host in hosts or _origin(server.base_url) in _shipped()):
            key = "" if server.api_key_env is None else f", with the key in {server.api_key_env}"
            message = f"{host} would be sent the images and questions of every task{key}"
            remedy = f"Add `--allow-host {host}` if that is what you want."
            problems.append(model.problem(("server", "base_url"), message, remedy))
    if problems:
        raise VlmbenchError(problems)


def _is_here(host: str) -> bool:
    """Tell whether a host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(address: str) -> tuple[str, str | None, int | None]:
    url = urlsplit(address)
    return url.scheme, url.hostname, url.port


@lru_cache(maxsize=1)
def _shipped() -> frozenset[tuple[str, str | None, int | None]]:
    """Return scheme, host and port of every server in the models that come with vlmbench."""
    servers = (model.spec.server for model in load_files(yaml_files(packaged_paths())).models)
    return frozenset(_origin(server.base_url) for server in servers if server is not None)
