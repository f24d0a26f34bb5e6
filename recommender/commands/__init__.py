"""Subcommands of the `recommender` command, one file each."""
