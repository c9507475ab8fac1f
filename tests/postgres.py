"""A PostgreSQL of one's own, by the binaries that Debian installs: on a free port, in a folder of its own. It may be given bad
settings, killed, frozen, promoted and started again. And a shell to any PostgreSQL, past the journal."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import asyncpg

from tests.rabbitmq import NoServer, free_port

START_SECONDS = 60.0
USER = "postgres"


class PostgresServer:
    """Use with ``with``, or ``close`` it. settings: of postgresql.conf. standby_of: copies that server and follows it. disk: a
    folder of its own is made there."""

    def __init__(self, *, standby_of: PostgresServer | None = None, disk: Path | None = None, **settings: str | int) -> None:
        self._binaries = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="nahtlos-postgres-", dir=disk))
        self.data = self._folder / "data"
        self.port = free_port()
        self._user = _unprivileged()
        self._server: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._settings = {"max_connections": 60, "shared_buffers": "16MB", "max_wal_size": "256MB"} | settings
        if standby_of is None:
            self._run("initdb", "-D", str(self.data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
            self.configure(**self._settings)
        else:
            self.follow(standby_of)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def follow(self, primary: PostgresServer) -> None:
        """Be a copy of that server, which follows it from the next start on; what was here is gone."""
        assert not self.is_alive()
        shutil.rmtree(self.data, ignore_errors=True)
        self._run(
            "pg_basebackup", "-D", str(self.data), "-d", f"{primary.url}?application_name=standby", "-R",
            "--no-sync", "-X", "stream", "-c", "fast",
        )
        self.configure(**self._settings)

    def configure(self, **settings: str | int) -> None:
        """For the next start or ``reload``."""
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def reload(self) -> None:
        assert self._server is not None
        self._server.send_signal(signal.SIGHUP)

    def secure(self, certificate: Path, key: Path) -> None:
        """TLS from the next start or ``reload`` on."""
        owner = self.data.stat()
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            target = self.data / name
            shutil.copyfile(source, target)
            target.chmod(0o600)
            os.chown(target, owner.st_uid, owner.st_gid)
        self.configure(ssl="on")

    def start(self) -> None:
        """With what it had when it was killed. Raises ``NoServer``."""
        assert not self.is_alive()
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self._folder)}
        with (self._folder / "output").open("ab") as output:
            self._server = subprocess.Popen(
                [str(self._binaries / "postgres"), "-D", str(self.data), *(f"-c{n}={v}" for n, v in options.items())],
                user=self._user, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not takes_us(self.url):
            if not self.is_alive() or time.monotonic() > end:
                raise NoServer(f"PostgreSQL did not start: {self.last_words()}")
            time.sleep(0.1)

    def is_alive(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def kill(self) -> None:
        """SIGKILL to every process of it, whatever they are doing."""
        for process in self._processes():
            _signal(process, signal.SIGKILL)
        if self._server is not None:
            self._server.wait()

    def stop(self) -> None:
        """Quickly and properly."""
        if self._server is not None and self.is_alive():
            self._server.send_signal(signal.SIGINT)
            self._server.wait(START_SECONDS)

    def freeze(self) -> None:
        """The kernel goes on taking connections and bytes for it; it says nothing."""
        for process in self._processes():
            _signal(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self._processes():
            _signal(process, signal.SIGCONT)

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-D", str(self.data), "-w")

    def close(self) -> None:
        if self.is_alive():
            self.thaw()
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def last_words(self) -> str:
        return " | ".join((self._folder / "output").read_text("utf-8", "replace").splitlines()[-5:])

    def _processes(self) -> list[int]:
        """The postmaster, whose group is that of every backend of its own session, and those that made one of theirs."""
        if self._server is None or not self.is_alive():
            return []
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        return [self._server.pid, *map(int, children)]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments], user=self._user, capture_output=True, text=True, cwd=self._folder,
            check=False, timeout=120, env=os.environ | {"LC_ALL": "C"},
        )
        if done.returncode:
            raise NoServer(f"{program}: {done.stderr.strip()[-500:]}")


class Shell:
    """Statements from outside, as somebody with psql would give them, also from within a running event loop. Times may be given
    as text."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="shell", daemon=True)
        self._thread.start()
        self._connection: Any = None

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Raises what asyncpg raises."""

        async def work(connection: Any) -> list[tuple[Any, ...]]:
            if not parameters and ";" in sql:
                await connection.execute(sql)
                return []
            return [tuple(row) for row in await connection.fetch(sql, *parameters)]

        return self.do(work)

    def do(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """With the connection, in the shell's own thread."""

        async def run() -> Any:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self._address, timeout=5)
                await self._connection.set_type_codec(
                    "timestamptz", schema="pg_catalog", encoder=str, decoder=str, format="text")
            return await work(self._connection)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    def close(self) -> None:
        async def end() -> None:
            if self._connection is not None:
                await self._connection.close(timeout=5)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Database:
    """One on a server, made for the tests of one process; dropped by ``close``."""

    def __init__(self, server: str, name: str) -> None:
        self._server, self.name = server, name
        self._do(f'drop database if exists "{name}" with (force)', f'create database "{name}" template template0 encoding "UTF8"')
        self.url = server.rpartition("/")[0] + "/" + name
        self.shell = Shell(self.url)

    def close(self) -> None:
        self.shell.close()
        self._do(f'drop database if exists "{self.name}" with (force)')

    def _do(self, *statements: str) -> None:
        shell = Shell(self._server)
        try:
            for statement in statements:
                shell.execute(statement)
        finally:
            shell.close()


def takes_us(address: str) -> bool:
    """As an administrator, who may switch checks off."""

    shell = Shell(address)
    try:
        return shell.execute("select rolsuper from pg_roles where rolname = current_user") == [(True,)]
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    finally:
        shell.close()


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise NoServer("PostgreSQL: set NAHTLOS_TEST_POSTGRES to a server for tests, or, as root, apt-get install postgresql")
    return found[-1].parent


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return
