"""`python -m holocron_cli`: the same as the script `holocron`, for those who know only the interpreter's path."""

from __future__ import annotations

from holocron_cli.app import main

main()
