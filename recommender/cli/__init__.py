"""The `recommender` command: one file for each subcommand."""
