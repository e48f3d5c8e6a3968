"""TLS: what DB_SSLMODE and DB_SSLROOTCERT ask for is what they get."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import servers
from sqlalchemy import text

from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import DatabaseConnectionError


def programs_with_tls() -> Path:
    """Where the system's PostgreSQL is: those of the wheels come without TLS."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not programs and on_path is None:
        pytest.fail(
            "These tests need a PostgreSQL with TLS. Install the system's: "
            "apt-get install postgresql (Debian, Ubuntu), brew install postgresql (macOS)."
        )
    return programs[-1].parent if programs else Path(str(on_path)).resolve().parent


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path, name: str) -> Path:
    """A certificate authority that signs itself."""
    subject = ["-subj", f"/CN={name}", "-days", "2", "-nodes", "-newkey", "rsa:2048"]
    openssl(folder, "req", "-x509", *subject, "-keyout", f"{name}.key", "-out", f"{name}.crt")
    return folder / f"{name}.crt"


def make_certificate(folder: Path, authority: str, host: str) -> None:
    """A certificate for the server ``host``, signed by the authority."""
    request = ["-subj", f"/CN={host}", "-nodes", "-newkey", "rsa:2048"]
    openssl(folder, "req", "-new", *request, "-keyout", "server.key", "-out", "server.csr")
    (folder / "names").write_text(f"subjectAltName=DNS:{host}\n")
    signer = ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial"]
    signed = ["-days", "2", "-extfile", "names", "-out", "server.crt"]
    openssl(folder, "x509", "-req", "-in", "server.csr", *signer, *signed)


@pytest.fixture(scope="module")
def tls_server():
    """A server that lets nobody in without TLS; its certificate is for the name localhost."""
    server = servers.TcpServer.create(programs_with_tls(), ssl="on")
    make_authority(server.folder, "bank")
    make_authority(server.folder, "stranger")
    make_certificate(server.folder, "bank", "localhost")
    for name in ("server.key", "server.crt"):
        (server.folder / name).chmod(0o600)
        server.user.take(Path(shutil.move(server.folder / name, server.data / name)))
    (server.data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
    yield server.start()
    server.remove()


def authority(server, name):
    return str(server.folder / f"{name}.crt")


def encrypted(config):
    manager = DatabaseManager(config)
    with manager.session_scope() as session:
        query = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        is_encrypted = session.execute(query).scalar_one()
    manager.close()
    return is_encrypted


def refused(config):
    manager = DatabaseManager(config)
    with pytest.raises(DatabaseConnectionError) as caught:
        manager.engine.connect()
    manager.close()
    assert servers.PASSWORD not in str(caught.value)
    return str(caught.value)


def test_require_encrypts(tls_server):
    assert encrypted(tls_server.config(sslmode="require")) is True


def test_verify_full_accepts_the_right_authority_and_name(tls_server):
    config = tls_server.config(
        host="localhost", sslmode="verify-full", sslrootcert=authority(tls_server, "bank")
    )

    assert encrypted(config) is True
    assert encrypted(
        DatabaseConfig.from_env(environ={"DATABASE_URL": config.get_connection_string()})
    )


def test_environment_asks_for_tls(tls_server):
    config = DatabaseConfig.from_env(
        environ={
            "DB_HOST": "localhost",
            "DB_PORT": str(tls_server.port),
            "DB_NAME": "postgres",
            "DB_USER": tls_server.username,
            "DB_PASSWORD": tls_server.password,
            "DB_SSLMODE": "verify-full",
            "DB_SSLROOTCERT": authority(tls_server, "bank"),
        }
    )

    assert encrypted(config) is True


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_another_authority_is_refused(tls_server, mode):
    config = tls_server.config(
        host="localhost", sslmode=mode, sslrootcert=authority(tls_server, "stranger")
    )

    assert "not signed by the authority in DB_SSLROOTCERT" in refused(config)


def test_another_name_is_refused(tls_server):
    config = tls_server.config(
        host="127.0.0.1", sslmode="verify-full", sslrootcert=authority(tls_server, "bank")
    )

    assert "certificate is for another name" in refused(config)


def test_verification_without_an_authority_says_what_is_missing(tls_server, monkeypatch):
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)

    message = refused(tls_server.config(host="localhost", sslmode="verify-full"))

    assert "set DB_SSLROOTCERT" in message


def test_a_server_that_insists_on_tls_says_so_to_those_without(tls_server):
    assert "DB_SSLMODE" in refused(tls_server.config(sslmode="disable"))
