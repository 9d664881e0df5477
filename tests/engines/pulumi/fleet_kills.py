"""Lives of runs on clusters of their own, killed at random moments: `up`, its supervisor's nodes, `down`, whatever dies.

Afterwards the fake cloud's own record is compared with the ledger: it holds nothing, it never held anything twice, and
its meter says what the bill says.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from eks_facade import EksFacade, serving
from fleet import ROOT, FakeFleet

from clusterctl.ledger import open_ledger
from clusterctl.runs.run import run_id_of
from clusterctl.runs.starting import Launch, UpAction, prepare
from planners.plan.unit_prices import SYSTEM_NODE_TYPES
from planners.plan.value import Plan
from planners.runs.limits import MACHINE, RunLimits

HERE = Path(__file__).parent
WHOM = (("cli",), ("program",), ("engine",), ("plugin",), ("cli", "program", "engine", "plugin"))
CUT = ("Vpc", "NodeGroup", "Network", "NodePool", "VirtualNetwork", "AgentPool")
CENT = Decimal("0.01")
MOST_SECONDS = 600.0
"""For one act, on a machine that does a lot beside."""
KUBECTL = """#!/bin/sh
echo "Unable to connect to the server: dial tcp 127.0.0.1:1: connect: connection refused" >&2
exit 1
"""


@dataclass
class Life:
    """One run on one cloud.  kills: of `up`, of the supervisor and of `down`."""

    folder: Path
    engine: Path
    plan: Path
    cloud: str
    seed: int
    kills: tuple[int, int, int]
    done: Counter[str] = field(default_factory=Counter)
    """Kills by what was killed in which act."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.folder.mkdir()
        self.fleet = FakeFleet(self.folder, self.engine, self.plan)
        self.store = self.fleet.store
        self.store.mkdir()
        (kubectl := self.folder / "plugins" / "kubectl").write_text(KUBECTL)
        kubectl.chmod(0o755)
        self.seconds = {"up": 15.0, "down": 10.0}
        """How long an act took last: kills come at any time of it."""
        plan = Plan.model_validate_json(self.plan.read_bytes())
        self.run_id = run_id_of(plan)
        with open_ledger(str(self.store / "ledger.db")) as ledger:
            launch = Launch(action=UpAction.START, run_id=self.run_id, run=None)
            prepare(ledger, self.store, plan, launch, RunLimits(usd=Decimal(60000), hours=Decimal(100)))
        self.environment = self.fleet.environment | {
            "CLUSTERCTL_HOME": str(self.store),
            "CLUSTERCTL_ACCESS_CIDRS": "203.0.113.7/32",
            "CLUSTERCTL_FLEET": '{"inCluster": "false"}',
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "no_proxy": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
        }
        prices = {pool["instance_type"]: pool["usd_per_node_hour"] for pool in self.fleet.pools}
        self.fleet.cloud.set(prices=prices | self._standing(plan), slow_seconds=0.05, lag_seconds=0.5)

    def live(self) -> str:
        """To its end.  Returns what was billed and metered.  Raises AssertionError."""
        self._change("up", self.kills[0])
        machines = self._with_nodes() if self.kills[1] else Decimal(0)
        self._change("down", self.kills[2])
        held = self.fleet.cloud.held()
        assert held == [], [f"{each.type} {each.name}" for each in held]
        assert not any(self.fleet.processes().values()), "nothing works on it any more"
        with open_ledger(str(self.store / "ledger.db")) as ledger:
            bill = ledger.bill(self.run_id)
            assert ledger.live_resources(self.run_id) == ()
        billed, metered = Decimal(bill.known_usd), self.fleet.cloud.metered_usd()
        nodes = sum((line.known_usd for line in bill.lines if line.kind == MACHINE), Decimal(0))
        assert abs(nodes - machines) < Decimal("0.00001"), f"nodes: billed {nodes}, metered {machines}"
        assert abs(billed - metered) < CENT, f"billed {billed}, metered {metered}"
        return (
            f"{self.cloud} {self.seed}: {sum(self.done.values())} kills, billed ${billed:.6f}, metered ${metered:.6f}"
        )

    def _standing(self, plan: Plan) -> dict[str, float]:
        """Dollars an hour by kind of what stands: the lines of the plan, which are the price book's."""
        titles = {"Kubernetes control plane": ("Cluster", "ManagedCluster"), "NAT gateway": ("NatGateway", "RouterNat")}
        found: dict[str, float] = {}
        for line in plan.lines:
            title = line.name.partition(",")[0]
            found |= dict.fromkeys(titles.get(title, ()), line.usd_per_unit or 0.0)
            if title.startswith("system node"):
                found[SYSTEM_NODE_TYPES[self.cloud]] = line.usd_per_unit or 0.0
        return found

    def _change(self, act: str, kills: int) -> None:
        """`up` or `down`, again and again until it has come to its end; killed at first."""
        for number in range(kills + 8):
            if number < kills and self.chance.random() < 0.25:  # a fault of the cloud beside
                self.fleet.cloud.set(cut=CUT, cuts_left=1, throttled=self.chance.randint(0, 2))
            command, begun, said = self._start(act), time.monotonic(), ""
            if number < kills:
                self._wait_for_a_moment(command, act)
                whom = self.chance.choice(WHOM)
                if command.poll() is None:
                    self.fleet.kill(command, *whom)
                    self.done[f"{act} {'+'.join(whom)}"] += 1
            try:
                said = command.communicate(timeout=MOST_SECONDS)[1]
            except subprocess.TimeoutExpired:
                command.kill()
                raise AssertionError(f"{act} hangs: {command.communicate()[1][-2000:]}") from None
            self._note(said[-1000:])
            assert self.fleet.twice() == [], (number, said[-2000:])
            if command.returncode == 0:
                self.seconds[act] = time.monotonic() - begun
                if number < kills:  # it was faster than the kill: once more from the other end
                    self._undo(act)
                    continue
                return
        raise AssertionError(f"{act} does not come to its end in {self.folder}: {said[-3000:]}")

    def _undo(self, act: str) -> None:
        """What has come to its end is begun anew: a cluster that is there is removed, one that has gone is made."""
        command = self._start("down" if act == "up" else "up")
        said = command.communicate(timeout=MOST_SECONDS)[1]
        assert command.returncode == 0, said[-3000:]

    def _wait_for_a_moment(self, command: subprocess.Popen[str], act: str) -> None:
        """Of two kinds: any time of the act, or while it makes or removes resources."""
        until, goal = time.monotonic() + self.chance.uniform(0.3, 0.9) * self.seconds[act], None
        if self.chance.random() < 0.6:
            there, step = len(self.fleet.cloud.held()), self.chance.randint(1, 15)
            goal, until = (there + step) if act == "up" else max(there - step, 1), time.monotonic() + MOST_SECONDS
        while command.poll() is None and time.monotonic() < until:
            there = len(self.fleet.cloud.held())
            if goal is not None and (there >= goal if act == "up" else there <= goal):
                time.sleep(self.chance.random() * 0.2)
                return
            time.sleep(0.05)

    def _with_nodes(self) -> Decimal:
        """The run's supervisor asks for nodes, has them and gives them back, and is killed meanwhile.  What they cost."""
        facade, coming = EksFacade(self.fleet.cloud), (self.kills[1] + 1) // 2
        wanted = sum(pool["nodes"] for pool in self.fleet.pools)
        with serving(facade) as url:
            self.environment["AWS_ENDPOINT_URL"] = url
            for _ in range(coming - 1):
                self._kill_supervisor(facade, lambda: bool(facade.live))
            self._kill_supervisor(facade, lambda: len(facade.live) == wanted and self._billed() == wanted)
            with open_ledger(str(self.store / "ledger.db")) as ledger:
                ledger.set_desired(self.run_id, "down")
            for _ in range(self.kills[1] - coming):
                self._kill_supervisor(facade, lambda: len(facade.live) < wanted)
            supervisor = self._start("supervise")
            said = supervisor.communicate(timeout=MOST_SECONDS)[1]
            assert (supervisor.returncode, facade.live) == (0, []), said[-3000:]
        assert len(facade.machines) == wanted, "none was launched twice"
        groups = {held.properties.get("nodeGroupName"): held.properties for held in self.fleet.cloud.held()}
        rates = {pool["instance_type"]: Decimal(str(pool["usd_per_node_hour"])) for pool in self.fleet.pools}
        paid = Decimal(0)
        for machine in facade.machines.values():
            (kind,) = self.fleet.cloud.machine_types(groups[machine["group"]])
            paid += rates[kind] * Decimal(str(machine["until"] - machine["since"])) / 3600
        return paid

    def _kill_supervisor(self, facade: EksFacade, moment: Callable[[], bool]) -> None:
        """Once something is so, or soon after."""
        supervisor, until = self._start("supervise"), time.monotonic() + MOST_SECONDS
        while supervisor.poll() is None and not moment():
            assert time.monotonic() < until, f"{len(facade.live)} machines after {MOST_SECONDS} s"
            time.sleep(0.05)
        time.sleep(self.chance.random())
        self.done["supervisor"] += supervisor.poll() is None
        supervisor.kill()
        supervisor.communicate()

    def _billed(self) -> int:
        """Nodes of the run that the ledger holds for there."""
        with open_ledger(str(self.store / "ledger.db")) as ledger:
            return sum(row.kind == MACHINE and row.state == "live" for row in ledger.resources(self.run_id))

    def _start(self, act: str) -> subprocess.Popen[str]:
        self._note(act)
        with (self.folder / "acts.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, HERE / "fleet_acts.py", act, self.store, self.run_id],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.PIPE,
                text=True,
            )

    def _note(self, text: str) -> None:
        """For whoever looks at a life that has failed."""
        with (self.folder / "acts.log").open("a") as log:
            log.write(f"{datetime.now(tz=UTC):%H:%M:%S} {text}\n")

    def end(self) -> None:
        """Nothing of it works on; its folder goes."""
        for processes in self.fleet.processes().values():
            for process in processes:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
