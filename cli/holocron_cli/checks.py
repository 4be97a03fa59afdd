"""The library's own checks of ids, prefixes, URIs and durations, gathered here because every command wants some.

Import this inside functions: it brings the library with it, and `holocron --help` does without.
"""

from __future__ import annotations

from holocron import check_node_id, check_prefix, parse_duration_s, parse_location, show_duration

__all__ = ["check_node_id", "check_prefix", "parse_duration_s", "parse_location", "show_duration"]
