"""`make fuzz`: random cases of SCIM, SAML and membership for as long as you like; see tests/fuzz/__init__.py."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import seed as with_seed
from hypothesis.stateful import run_state_machine_as_test

from idp_bridge import db, keyring
from idp_bridge.provisioning.directory import Directory
from tests import postgres
from tests.conftest import SECRET_KEY, add_provider, make_account
from tests.domain.machine import Membership
from tests.fuzz import agreement, cases, noise, saml, saml_cost, stored
from tests.fuzz.exploring import Disagreement, explore
from tests.provisioning.conftest import directory_of
from tests.saml import idp

Round = Callable[..., None]


@contextmanager
def opened(url: str) -> Iterator[Directory]:
    """A directory in a fresh database."""
    real = db.open_database(url)
    db.migrate()
    keyring.unlock(SECRET_KEY)
    with db.connection():
        world = make_account("fuzz")
        yield directory_of(world, add_provider(world, idp.idp().certificate.pem))
    real.close_all() if hasattr(real, "close_all") else real.close()


def on(url: Callable[[], str]) -> Round:
    """Filters on such a database."""

    def run(*, number: int, seed: int) -> None:
        with opened(url()) as directory:
            explore(stored.of_users(directory), cases.filter_case, number=number, seed=seed)
            explore(stored.of_groups(directory), cases.group_case, number=number, seed=seed)

    return run


def members_on(url: Callable[[], str]) -> Round:
    """Whoever comes, stays and goes, on such a database, beside a model; a walk of 60 steps for each hundred cases."""

    def run(*, number: int, seed: int) -> None:
        with opened(url()):
            walks = settings(
                max_examples=max(number // 100, 1),
                stateful_step_count=60,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            run_state_machine_as_test(with_seed(seed)(Membership), settings=walks)

    return run


@contextmanager
def rounds() -> Iterator[dict[str, Round]]:
    """What there is to run, by name."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found: dict[str, Round] = {
            "filters beside scim2-models": partial(explore, agreement.of_filter, cases.filter_case),
            "PATCH beside scim2-models": partial(explore, agreement.of_patch, cases.patch_case),
            "noise into the parsers": noise.survive,
            "SAML: forgeries and spellings": saml.forged,
            "SAML: beside python3-saml and pygamlastan": saml.beside,
            "SAML: mixtures of messages": saml.mixed,
            "filters on SQLite": on(lambda: f"sqlite:///{folder}/{time.monotonic_ns()}.db"),
            "members on SQLite": members_on(lambda: f"sqlite:///{folder}/{time.monotonic_ns()}.db"),
        }
        if reason := postgres.why_not():
            print(f"without PostgreSQL: {reason}")
        else:
            server = stack.enter_context(postgres.postgres())
            found["filters on PostgreSQL"] = on(server.create_database)
            found["members on PostgreSQL"] = members_on(server.create_database)
        yield found


def main() -> int:
    """All rounds once, and again with other seeds until the minutes are over."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="so many of each kind")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first round; printed, to repeat it")
    parser.add_argument("--minutes", type=float, default=0, help="go on with other seeds for so long")
    parser.add_argument("--seconds", type=int, default=60, help="so long with atheris at the SAML door")
    parser.add_argument("--only", default="", help="rounds whose name holds this")
    parser.add_argument("--saml-cost", action="store_true", help="print what hostile SAML messages cost, and end")
    asked = parser.parse_args()
    if asked.saml_cost:
        return saml_cost.report()
    end, seed = time.monotonic() + asked.minutes * 60, asked.seed
    with rounds() as found:
        while True:
            for name, run in found.items():
                if asked.only not in name:
                    continue
                begin = time.monotonic()
                try:
                    run(number=asked.cases, seed=seed)
                except Disagreement as failure:
                    print(f"{name}: {failure}", file=sys.stderr)
                    if failure.__cause__:
                        raise
                    return 1
                print(f"{name}: {asked.cases:,} cases, seed {seed}, {time.monotonic() - begin:.0f} s", flush=True)
            seed += 1
            if time.monotonic() >= end:
                break
    return guided(asked.seconds)


def guided(seconds: int) -> int:
    """The SAML door under atheris, in a process of its own: libFuzzer ends the process that it runs in."""
    command = [sys.executable, "-m", "tests.fuzz.door", "--seconds", str(seconds)]
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return done.returncode
    executed = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    told = f"{int(executed[0]):,} cases, {time.monotonic() - begin:.0f} s" if executed else done.stdout.strip()
    print(f"SAML door: {told if not executed else 'led by coverage, ' + told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
