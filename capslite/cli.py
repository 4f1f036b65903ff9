"""What every command does with a mistake of the user's: one sentence, exit code 2, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from capslite.errors import UserError


def run_command(main: Callable[[], None]) -> None:
    """Call ``main`` and turn a UserError into a sentence on stderr and exit code 2, Ctrl-C into 130."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
