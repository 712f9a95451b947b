"""A PostgreSQL of the tests' own: it listens on a socket in its folder alone, and can be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SETTINGS = ("listen_addresses=", "fsync=off", "max_connections=60")


def binary(name: str) -> str | None:
    there = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(there[-1]) if there else shutil.which(name)


class Server:
    """One server and its data."""

    def __init__(self, folder: Path, program: str, user: str | None) -> None:
        self.folder, self.program, self.user = folder, program, user
        self.socket = folder / ".s.PGSQL.5432"
        self.running: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it, and wait until it answers; again if what is left of a killed one is in the way."""
        settings = (*SETTINGS, f"unix_socket_directories={self.folder}")
        command = [self.program, "-D", str(self.folder / "data"), *(part for each in settings for part in ("-c", each))]
        for _ in range(600):
            self.running = subprocess.Popen(
                command, user=self.user, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            while self.running.poll() is None:
                if self._answers():
                    return
                time.sleep(0.05)
            time.sleep(0.1)
        pytest.fail("PostgreSQL did not come up")

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(f"host={self.folder} user=postgres dbname=postgres connect_timeout=5").close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """As a machine does that has no memory left: what its processes hadn't written is lost."""
        self.running.kill()
        self.running.wait()

    def stop(self) -> None:
        """PostgreSQL's fast way to stop."""
        self.running.send_signal(signal.SIGINT)
        self.running.wait(timeout=30)


@contextmanager
def server() -> Iterator[Server]:
    """A server that has started; the test is skipped where there is no PostgreSQL."""
    initdb, program = binary("initdb"), binary("postgres")
    if not initdb or not program:
        pytest.skip("no PostgreSQL here (initdb and postgres): install one to run these tests on it too")
    user = "postgres" if os.getuid() == 0 else None  # it refuses to be root
    if user and user not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip("PostgreSQL refuses to run as root, and there is no account `postgres` to run it")
    folder = Path(tempfile.mkdtemp(prefix="trueward-postgres-"))
    if user:
        shutil.chown(folder, user)
    subprocess.run(
        [initdb, "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync"],
        check=True, capture_output=True, user=user, cwd=folder,
    )  # fmt: skip
    made = Server(folder, program, user)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
