"""The rules: values in, values out. No clock, no randomness, no I/O. README.md beside this file states them."""
