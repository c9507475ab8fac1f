"""Several gateways on one PostgreSQL, with a RabbitMQ or without, and a network between them that can be broken.

Every process reaches the database through a proxy of its own, the workers reach the broker through one that they share, and
each case system stands behind one. What is started here is ended here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.chaos.processes import CaseSystem, Gateway, case_systems, gateway, site_of
from tests.chaos.proxy import Proxy
from tests.chaos.roaming import RoamingPortal
from tests.portal import Portal
from tests.postgres import PostgresServer, Shell
from tests.rabbitmq import RabbitServer

OPEN = ("pending", "delivering", "dead")


class Cluster:
    """intakes, workers: processes. databases: the first is the journal, until another takes its place. journals: the network
    between each of ``gateways`` and each of ``databases``. systems: case systems; targets: the network before each. broker:
    ``None``: each worker rings for itself; brokers: the network before it.
    """

    def __init__(
        self, intakes: Sequence[Gateway], workers: Sequence[Gateway], *, databases: Sequence[PostgresServer], keys: Path,
        systems: Sequence[CaseSystem], journals: Sequence[Sequence[Proxy]], targets: Sequence[Proxy],
        broker: RabbitServer | None, brokers: Proxy | None,
    ) -> None:
        self.intakes, self.workers, self.databases, self.keys = list(intakes), list(workers), list(databases), keys
        self.systems, self.journals, self.targets = list(systems), [list(each) for each in journals], list(targets)
        self.broker, self.brokers = broker, brokers

    @property
    def gateways(self) -> list[Gateway]:
        return [*self.intakes, *self.workers]

    @property
    def database(self) -> PostgresServer:
        return self.databases[0]

    def start(self, **usual: Any) -> None:
        """The first makes the tables, the keys, and one for the portal; the others know it from the start. usual: orders for
        every life of every process."""
        for one in self.gateways:
            one.usual |= usual
        self.intakes[0].start()
        self.intakes[0].key_of("portal")
        for one in self.gateways[1:]:
            one.begin()
        for one in self.gateways[1:]:
            assert one.await_start()

    def stop(self) -> None:
        for one in self.gateways:
            assert one.stop() == 0, one.last_words()

    def took_over(self) -> None:
        """The second database is the journal now, the first the second."""
        self.databases.reverse()
        for ways in self.journals:
            ways.reverse()

    def between(self, one: Gateway) -> Proxy:
        """The network between this process and the journal."""
        return self.journals[self.gateways.index(one)][0]

    # --- talking to it

    def portal(self, name: str = "portal", *, log: Path | None = None) -> Portal:
        key = self.intakes[0].key_of(name)
        return RoamingPortal([Portal("127.0.0.1", each.port, key) for each in self.intakes], log=log)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """By the first intake that answers. Raises ``httpx.HTTPError``."""
        failed: httpx.HTTPError | None = None
        for intake in self.intakes:
            try:
                return intake.call(method, path, body)
            except httpx.HTTPError as error:
                failed = error
        assert failed is not None
        raise failed

    def counts(self) -> dict[str, int]:
        """Deliveries by state, over all targets."""
        found: dict[str, int] = {}
        for target in self.call("GET", "/v1/targets")["targets"]:
            for state, n in target["counts"].items():
                found[state] = found.get(state, 0) + n
        return found

    def open_deliveries(self) -> dict[str, int]:
        return {state: n for state, n in self.counts().items() if n and state in OPEN}

    def replay_dead_letters(self) -> list[dict[str, Any]]:
        dead: list[dict[str, Any]] = self.call("GET", "/v1/dead-letters?limit=500")["dead_letters"]
        for each in dead:
            self.call("POST", f"/v1/dead-letters/{each['id']}/replay", {"reason": "repaired"})
        return dead

    def cases(self) -> int:
        return sum(system.cases() for system in self.systems)

    def what_is_open(self) -> str:
        """For the message of a test that failed: the rows themselves."""
        shell = Shell(self.database.url)
        try:
            columns = "target, state, waiting_for, in_doubt, crashes, attempts, next_attempt_at, lease_until, claimed_by, class"
            open_ = shell.execute(f"select {columns} from delivery where state in ('pending', 'delivering', 'dead') limit 5")
            targets = shell.execute("select name, breaker, probe_at, paused_at, streak from target")
            now = shell.execute("select now()")
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            shell.close()
        return "\n".join([f"{now}: {open_}, {targets}", *(one.last_words()[-1500:] for one in self.gateways)])


@contextmanager
def cluster(
    folder: Path, *databases: PostgresServer, broker: RabbitServer | None = None, intakes: int = 2, workers: int = 2,
    systems: int = 2, target: str = "", **settings: str,
) -> Iterator[Cluster]:
    """Not started yet; dead when this ends. target, settings: as for ``site_of`` and ``gateway``."""
    keys = str(folder / "keys")
    with ExitStack() as stack:
        def proxy(port: int) -> Proxy:
            return stack.enter_context(Proxy(port))

        made = stack.enter_context(case_systems(folder, *(f"system-{n}" for n in range(1, systems + 1))))
        targets = [proxy(urlsplit(system.url).port or 0) for system in made]
        site = site_of(*(f"http://127.0.0.1:{each.port}" for each in targets), target=target)
        brokers = proxy(broker.port) if broker is not None else None
        if broker is not None and brokers is not None:
            settings |= {"broker": broker.url.replace(f":{broker.port}/", f":{brokers.port}/")}
        names = [("intake", n) for n in range(1, intakes + 1)] + [("worker", n) for n in range(1, workers + 1)]
        journals = [[proxy(database.port) for database in databases] for _ in names]
        members = [
            stack.enter_context(gateway(
                folder / f"{role}-{n}", site, role=role, instance=f"{role}-{n}", keys=keys, migrate="yes",
                journal=_address(ways), **settings,
            ))
            for (role, n), ways in zip(names, journals, strict=True)
        ]  # fmt: skip
        yield Cluster(
            members[:intakes], members[intakes:], databases=databases, keys=Path(keys), systems=made, journals=journals,
            targets=targets, broker=broker, brokers=brokers,
        )


def _address(ways: Sequence[Proxy]) -> str:
    return f"postgresql://postgres@{','.join(f'127.0.0.1:{way.port}' for way in ways)}/postgres"
