"""`python -m qarunner`: the same program where the script's folder is not on PATH."""

from __future__ import annotations

import os
import sys

if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):  # noqa: PTH109  before anything else is imported
    del sys.path[0]  # `-m` puts the working directory first: a checkout, whose files must not be imported

from qarunner.cli.main import main

if __name__ == "__main__":
    main()
