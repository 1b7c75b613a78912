"""The command line: one short file a subcommand, each importing heavy packages only when run."""
