"""Collects what the tests of the claims found into `measured/claims.json`.

    python -m circuits_course.authoring.claims_table FOLDER

FOLDER holds a file for each claim, as `make claims` leaves them. Claims of chapters that were not
tested this time stay as they were.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from circuits_course.circuits.claims import CLAIMS, Claim, shipped_claims
from circuits_course.storage import write_whole

COMMAND = "make claims"


def collect(folder: Path) -> list[Claim]:
    """The claims found in a folder, in the order of their tests, and those of other chapters."""
    found = [Claim(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
    tested = {claim.chapter for claim in found}
    kept = [claim for claim in shipped_claims() if claim.chapter not in tested]
    return sorted([*found, *kept], key=lambda claim: claim.chapter)


def main() -> None:
    claims = collect(Path(sys.argv[1]))
    table = {"command": COMMAND, "claims": [claim.as_json() for claim in claims]}
    write_whole(CLAIMS, (json.dumps(table, indent=1) + "\n").encode())
    print(f"{len(claims)} claims written to {CLAIMS.name}.")


if __name__ == "__main__":
    main()
