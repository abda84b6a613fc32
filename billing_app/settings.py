"""The settings: the only reader of the environment."""

from __future__ import annotations

import ipaddress
import os
import secrets
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRET_BYTES_MIN = 32


class Settings(BaseSettings):
    """What can be set from outside, checked once at the start; see README for the meanings.

    Raises ValueError (pydantic's ValidationError) for a weak secret and for a demo that is not
    on loopback.
    """

    model_config = SettingsConfigDict(env_prefix="BILLING_", extra="ignore", frozen=True)

    database_url: str | None = Field(None, validation_alias="DATABASE_URL")
    database_owner_url: str | None = Field(None, validation_alias="DATABASE_OWNER_URL")
    data_dir: Path = Path(".data")
    host: str = "127.0.0.1"
    port: int = Field(3000, ge=1, le=65535)
    public_url: str | None = None
    jwt_secret: SecretStr | None = None
    demo: bool = False
    admin_email: str | None = None
    admin_password: SecretStr | None = None

    @model_validator(mode="after")
    def _refuse_what_is_unsafe(self) -> Self:
        if self.jwt_secret and len(self.jwt_secret.get_secret_value().encode()) < SECRET_BYTES_MIN:
            raise ValueError(f"BILLING_JWT_SECRET must have at least {SECRET_BYTES_MIN} bytes")
        if self.demo and not _is_loopback(self.host):
            raise ValueError(
                "BILLING_DEMO=1 has public passwords and runs on loopback only: "
                "set BILLING_HOST=127.0.0.1 or BILLING_DEMO=0"
            )
        return self

    def url(self) -> str:
        """Where people find the pages."""
        host = "localhost" if _is_loopback(self.host) else self.host
        return self.public_url or f"http://{host}:{self.port}"

    def signing_secret(self) -> str:
        """The JWT secret: the one set, else the one made once and kept in the data directory.

        Several processes may ask for the first time at once: the first link wins, for all.
        """
        if self.jwt_secret:
            return self.jwt_secret.get_secret_value()
        path = self.data_dir / "jwt-secret"
        if not path.exists():
            self.data_dir.mkdir(parents=True, exist_ok=True)
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
