"""The command line of Holocron: typer commands over the library's public names."""
