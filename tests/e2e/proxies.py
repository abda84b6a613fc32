"""The configurations in deploy/, run as they are except for ports, names and certificates."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from billing_app.project_files import ROOT
from tests.processes.servers import until

# Caddy comes with the packages of the tests, nginx with a system.
_PATH = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath), "/usr/sbin"))
PROXIES = ("caddy", "nginx") if shutil.which("nginx", path=_PATH) else ("caddy",)


@contextmanager
def proxied(proxy: str, port: int, api: list[str], pages: str, directory: Path) -> Iterator[str]:
    """Run the proxy at https://localhost until the block ends; yield its address."""
    write = {"caddy": _caddy, "nginx": _nginx}[proxy]
    command, settings = write(port, api, pages, directory)
    command[0] = shutil.which(command[0], path=_PATH) or command[0]
    url = f"https://localhost:{port}"
    with (
        (directory / "proxy.log").open("wb") as log,
        subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log) as process,
    ):
        try:
            until(lambda: _answers(url, process, directory))
            yield url
        finally:
            process.terminate()


def _answers(url: str, process: subprocess.Popen[bytes], directory: Path) -> bool:
    assert process.poll() is None, (directory / "proxy.log").read_text()
    try:
        answers = [httpx.get(url + path, verify=False) for path in ("/api/health", "/login")]
    except httpx.TransportError:
        return False
    return all(each.status_code == 200 for each in answers)


def _caddy(port: int, api: list[str], pages: str, directory: Path) -> tuple[list[str], dict[str, str]]:
    config = directory / "Caddyfile"
    own = f"admin off\nskip_install_trust\nauto_https disable_redirects\nstorage file_system {directory}"
    config.write_text(f"{{\n{own}\n}}\nimport {ROOT}/deploy/Caddyfile\n")
    settings = {
        "TALLYBOOK_SITE": f"https://localhost:{port}",
        "TALLYBOOK_API": " ".join(api),
        "TALLYBOOK_PAGES": pages,
    }
    return ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"], settings


def _nginx(port: int, api: list[str], pages: str, directory: Path) -> tuple[list[str], dict[str, str]]:
    certificate = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "certificate.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", *certificate],
        check=True,
        capture_output=True,
    )
    text = (ROOT / "deploy/nginx.conf").read_text()
    for documented, used in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "server_name billing.example.com": "server_name localhost",
        "/etc/ssl/certs/billing.example.com.pem": str(directory / "certificate.pem"),
        "/etc/ssl/private/billing.example.com.key": str(directory / "key.pem"),
        "server 127.0.0.1:3001": f"server {api[0]}",
        "server 127.0.0.1:3002": f"server {api[1]}",
        "server 127.0.0.1:3000": f"server {pages}",
    }.items():
        assert text.count(documented) == 1, documented
        text = text.replace(documented, used)
    temporary = " ".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; pid {directory}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{text}\n}}\n"
    )
    return ["nginx", "-c", str(config), "-p", str(directory)], {}
