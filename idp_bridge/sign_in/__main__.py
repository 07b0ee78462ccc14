"""``python -m idp_bridge.sign_in [PAGE]``: the decision table on the terminal, or written into a page of the docs."""

import sys
from pathlib import Path

from idp_bridge.sign_in.printed import table, within

if __name__ == "__main__":
    if len(sys.argv) > 1:
        page = Path(sys.argv[1])
        page.write_text(within(page.read_text()))
    else:
        sys.stdout.write(f"{table()}\n")
