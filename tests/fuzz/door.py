"""The SAML door under atheris: `python -m tests.fuzz.door --seconds 60`; a finding again: `... door FILE`.

Coverage leads the way through `idp_bridge.saml`; the mutator knows XML and begins with the signed messages of
`fixtures/saml/good`, whose keys stay the same, so that a finding can be played again. Nothing but `Rejected` may come
out, and whoever is let in must be whom one of those messages names.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType

MAX_OCTETS = 64 * 1024
FINDINGS = Path("test-results")


def door(saml: ModuleType) -> tuple[list[bytes], Callable[[bytes], None]]:
    """The good messages, and the check of one: a function that raises where the door is not what it should be."""
    from tests.saml import idp
    from tests.saml.playing import FOLDER, sides

    folders = sorted(path.parent for path in (FOLDER / "good").glob("*/response.xml"))
    both = [sides(folder) for folder in folders]
    trust = saml.Trust(
        entity_id=idp.IDP,
        certificates=tuple(dict.fromkeys(pinned for trust, _, _ in both for pinned in trust.certificates)),
        allow_idp_initiated=True,
    )
    keys = tuple(key for _, sp, _ in both for key in sp.decryption_keys)
    sp = saml.ServiceProvider(entity_id=idp.SP, acs_url=idp.ACS, decryption_keys=keys[:1])
    good = [(folder / "response.xml").read_bytes() for folder in folders]
    honest = [saml.verify(idp.post(document), trust=trust, sp=sp, now=idp.NOW) for document in good]

    def check(octets: bytes) -> None:
        try:
            said = saml.verify(idp.post(octets), trust=trust, sp=sp, now=idp.NOW)
        except saml.Rejected:
            return
        if said not in honest:
            raise AssertionError(f"let in as {said}")

    return good, check


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.door", description=__doc__)
    parser.add_argument("finding", nargs="?", type=Path, help="a file to play again, without atheris")
    parser.add_argument("--seconds", type=int, default=60)
    asked = parser.parse_args()
    if asked.finding:
        from idp_bridge import saml

        door(saml)[1](asked.finding.read_bytes())
        return 0
    try:
        import atheris
    except ImportError:
        print("without atheris: it has no wheel for this Python or machine (pyproject.toml names those it has)")
        return 0
    with atheris.instrument_imports(include=["idp_bridge.saml"], enable_loader_override=False):
        from idp_bridge import saml
    good, check = door(saml)
    return _explore(atheris, good, check, seconds=asked.seconds)


def _explore(atheris: ModuleType, good: list[bytes], check: Callable[[bytes], None], *, seconds: int) -> int:
    from tests.saml.mutating import mutated

    def mutate(octets: bytes, size: int, seed: int) -> bytes:
        return mutated(octets, good, Random(seed))[:size]

    FINDINGS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, document in enumerate(good):
            (Path(folder) / f"{number}.xml").write_bytes(document)
        bounds = (f"-max_total_time={seconds}", f"-max_len={MAX_OCTETS}", "-timeout=10", "-rss_limit_mb=1024")
        told = ("-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={FINDINGS}/door-")
        atheris.Setup([sys.argv[0], folder, *bounds, *told], check, custom_mutator=mutate)
        atheris.Fuzz()  # ends the process
    return 0


if __name__ == "__main__":
    sys.exit(main())
