"""What several subcommands share: gin, machine files, opened runs, errors, the terminal."""
