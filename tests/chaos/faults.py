"""What can happen to the parts of a cluster, each of it broken and repaired by one call. Names are those of the kill matrix.

What happens to the broker: ``test_broker_faults``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from tests.chaos.campaign import Moments
from tests.chaos.cluster import Cluster
from tests.chaos.processes import Gateway, until
from tests.chaos.proxy import Proxy
from tests.postgres import PostgresServer, Shell

STANDBY = "standby"
"""As a primary knows the one that follows it."""
PAIR = {"max_connections": 100, "wal_retrieve_retry_interval": "200ms"}
"""Settings of a primary and of a standby that follows it quickly."""

NETWORK = {
    "Netz getrennt": Proxy.cut,
    "Netz: Verbindung abgerissen": Proxy.reset,
    "Netz: halb offen": Proxy.half_open,
    "Netz: schwarzes Loch": Proxy.black_hole,
    "Netz: 0,3 s verzögert": partial(Proxy.delay, seconds=0.3),
}


@dataclass(frozen=True, slots=True)
class Fault:
    component: str
    name: str
    strike: Callable[[], None]


def of_processes(several: Cluster, moments: Moments) -> Iterator[Fault]:
    """Each of them killed, the database killed, restarted and frozen, and the standby that it waits for killed."""
    for component, members in (("Annahme", several.intakes), ("Übermittlung", several.workers)):
        yield Fault(component, "SIGKILL", partial(_killed, cycle(members), moments))

    def killed() -> None:
        moments.wait()
        several.database.kill()
        several.database.start()

    def restarted() -> None:
        moments.wait()
        several.database.stop()
        several.database.start()

    def frozen() -> None:
        moments.wait()
        several.database.freeze()
        time.sleep(2)
        several.database.thaw()

    def alone() -> None:
        moments.wait()
        several.databases[1].kill()
        moments.wait()
        several.databases[1].start()

    yield Fault("PostgreSQL", "SIGKILL", killed)
    yield Fault("PostgreSQL", "neu gestartet", restarted)
    yield Fault("PostgreSQL", "eingefroren", frozen)
    if len(several.databases) > 1:
        yield Fault("PostgreSQL", "SIGKILL des Standby", alone)


def of_networks(several: Cluster, moments: Moments, *, seconds: float = 1.5) -> Iterator[Fault]:
    """One intake is cut off from the journal, the other is not; the workers are, all of them; a case system is."""
    between = {
        "Annahme–PostgreSQL": [several.between(several.intakes[0])],
        "Übermittlung–PostgreSQL": [several.between(worker) for worker in several.workers],
        "Übermittlung–Zielsystem": several.targets[:1],
    }

    def broken(how: Callable[[Proxy], None], networks: Iterable[Proxy]) -> None:
        moments.wait()
        for network in networks:
            how(network)
        time.sleep(seconds)
        for network in networks:
            network.heal()

    for component, networks in between.items():
        for name, how in NETWORK.items():
            yield Fault(component, name, partial(broken, how, networks))


def failover(several: Cluster, moments: Moments) -> None:
    """The primary dies under load, the synchronous standby is promoted, the dead one is not started again."""
    primary, standby = several.databases
    moments.wait()
    primary.kill()
    standby.promote()
    several.took_over()


def new_standby(several: Cluster) -> None:
    """In the place of the dead one, and waited for from now on."""
    primary, dead = several.databases
    dead.follow(primary)
    dead.start()
    make_synchronous(primary)


def make_synchronous(primary: PostgresServer) -> None:
    primary.configure(synchronous_standby_names=STANDBY)
    primary.reload()
    shell = Shell(primary.url)
    try:
        until(
            lambda: shell.execute("select 1 from pg_stat_replication where sync_state = 'sync'") != [],
            within=60, what="the standby is synchronous",
        )
    finally:
        shell.close()


def restarted_one_by_one(several: Cluster, **orders: object) -> None:
    """As in an upgrade: each is stopped as it should be, and started as ``orders`` say."""
    for one in several.gateways:
        assert one.stop() == 0, one.last_words()
        one.start(**orders)


def _killed(members: Iterator[Gateway], moments: Moments) -> None:
    """The next of them."""
    one = next(members)
    moments.wait()
    one.kill()
    moments.wait()
    one.start()
