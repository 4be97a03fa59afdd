"""Bytes in and out: outcomes, never decisions about who leads."""
