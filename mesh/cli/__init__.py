"""The command `mesh`: parse, build, call, exit code. Nothing imports this but the entry point."""
