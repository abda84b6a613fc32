"""The settings. Only this module reads environment variables."""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from billing_app.network import LOOPBACK, IPNetwork, parse_network, parse_origin

SECRET_BYTES_MIN = 32
# The loopback address of a server that listens on all addresses.
_SHOWN_AS_LOCALHOST = {"127.0.0.1", "0.0.0.0", "::"}


class DataDirUnusable(RuntimeError):
    """The data directory can't be written to. The message says what to set."""

    def __init__(self, data_dir: Path, reason: str) -> None:
        super().__init__(
            f"The data directory {data_dir} can't be used: {reason}. Set BILLING_DATA_DIR to a directory that "
            f"user ID {os.geteuid()} can write to."
        )


class SecretMissing(RuntimeError):
    """Several servers may share the database, so a secret that only one of them has won't do."""

    def __init__(self) -> None:
        super().__init__(
            "BILLING_JWT_SECRET is not set. With --api-only and DATABASE_URL, every server needs the same "
            f"secret of at least {SECRET_BYTES_MIN} bytes, or sessions of one are invalid at the others. "
            "`openssl rand -base64 48` generates one."
        )


def _parse_public_url(value: object) -> object:
    """Return the public URL in normal form, or None when it is blank. Raises ValueError."""
    if not isinstance(value, str) or not value.strip():
        return None if isinstance(value, str) else value
    try:
        return str(parse_origin(value))
    except ValueError as fault:
        raise ValueError(
            f"BILLING_PUBLIC_URL {fault}. Set it to an address such as https://billing.example.com"
        ) from None


def _parse_proxies(value: object) -> object:
    """Return the networks in a list separated by commas or blanks. Raises ValueError."""
    if not isinstance(value, str):
        return value
    networks = []
    for entry in value.replace(",", " ").split():
        try:
            networks.append(parse_network(entry))
        except ValueError:
            raise ValueError(
                f"BILLING_PROXIES contains {entry!r}. List addresses or networks, such as 10.0.0.7 or"
                " 10.0.0.0/8"
            ) from None
    return tuple(networks)


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


class Settings(BaseSettings):
    """The operator's settings, validated at startup. The README describes each one.

    Raises:
        ValidationError: A value is malformed, or the combination is unsafe or contradictory.
    """

    model_config = SettingsConfigDict(env_prefix="BILLING_", extra="ignore", frozen=True)

    database_url: str | None = Field(None, validation_alias="DATABASE_URL")
    database_owner_url: str | None = Field(None, validation_alias="DATABASE_OWNER_URL")
    data_dir: Path = Field(default_factory=lambda: _default_data_dir())
    host: str = "127.0.0.1"
    port: int = Field(3000, ge=1, le=65535)
    public_url: Annotated[str | None, BeforeValidator(_parse_public_url)] = None
    proxies: Annotated[tuple[IPNetwork, ...] | None, NoDecode, BeforeValidator(_parse_proxies)] = None
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int | None, BeforeValidator(_none_if_blank)] = Field(None, ge=1, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    jwt_secret: SecretStr | None = None
    demo: bool = False
    admin_email: str | None = None
    admin_password: SecretStr | None = None

    @field_validator("host", "metrics_host")
    @classmethod
    def _normalize_host(cls, host: str) -> str:
        """Accept an IPv6 address with or without brackets."""
        host = host.strip().removeprefix("[").removesuffix("]")
        if not host:
            raise ValueError("must be an IP address or a name, such as 127.0.0.1")
        return host

    @model_validator(mode="after")
    def _refuse_unsafe_settings(self) -> Self:
        if self.jwt_secret and len(self.jwt_secret.get_secret_value().encode()) < SECRET_BYTES_MIN:
            raise ValueError(f"BILLING_JWT_SECRET must have at least {SECRET_BYTES_MIN} bytes.")
        if self.demo and not _is_loopback(self.host):
            raise ValueError(
                "The demo accounts have public passwords, so BILLING_DEMO=1 works on loopback only. "
                "Set BILLING_HOST=127.0.0.1 or BILLING_DEMO=0."
            )
        return self

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        if self.metrics_port == self.port:
            raise ValueError("BILLING_METRICS_PORT and BILLING_PORT must differ.")
        if bool(self.admin_email) != bool(self.admin_password):
            raise ValueError("Set both BILLING_ADMIN_EMAIL and BILLING_ADMIN_PASSWORD, or neither.")
        if self.demo and self.admin_email:
            raise ValueError(
                "The demo has an admin of its own, so BILLING_DEMO=1 can't be combined with "
                "BILLING_ADMIN_EMAIL and BILLING_ADMIN_PASSWORD. Set one or the other."
            )
        return self

    @property
    def trusted_proxies(self) -> tuple[IPNetwork, ...]:
        """The networks of the proxies whose forwarding headers are trusted.

        By default, these are the loopback addresses if there is a public URL.
        """
        if self.proxies is not None:
            return self.proxies
        return LOOPBACK if self.public_url else ()

    def url(self) -> str:
        """Return the URL of the pages to open in a browser."""
        host = "localhost" if self.host in _SHOWN_AS_LOCALHOST else self.host
        return self.public_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def create_data_dir(self) -> Path:
        """Create the data directory if it does not exist, and return it.

        Raises:
            DataDirUnusable: This user can't create it or write to it.
        """
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataDirUnusable(self.data_dir, error.strerror or str(error)) from error
        if not os.access(self.data_dir, os.W_OK | os.X_OK):
            raise DataDirUnusable(self.data_dir, os.strerror(errno.EACCES))
        return self.data_dir

    def require_shared_secret(self) -> None:
        """Refuse to generate a secret here for a database that servers on other machines can use.

        Raises:
            SecretMissing: DATABASE_URL is set and BILLING_JWT_SECRET is not.
        """
        if self.database_url and not self.jwt_secret:
            raise SecretMissing

    def signing_secret(self) -> str:
        """Return the JWT secret: the configured one, or else a generated one that the data directory keeps.

        If several processes call this at once, all get the same secret.
        """
        if self.jwt_secret:
            return self.jwt_secret.get_secret_value()
        path = self.data_dir / "jwt-secret"
        if not path.exists():
            self.create_data_dir()
            draft = path.with_name(f"jwt-secret.{os.getpid()}")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(SECRET_BYTES_MIN))
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return path.read_text()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _default_data_dir() -> Path:
    """Return `.data` in the working directory, or a directory in the user's home if that is read-only."""
    usual = Path(".data")
    if os.access(usual if usual.exists() else ".", os.W_OK):
        return usual
    try:
        return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "tallybook"
    except RuntimeError:  # This user has no home.
        return usual
