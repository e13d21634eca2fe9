"""`python -m qarunner`: the same program where the script's folder is not on PATH."""

from __future__ import annotations

from qarunner.cli.main import main

if __name__ == "__main__":
    main()
