"""The ordered log of ratings that every worker follows: its blocks, its rule, and how it is written."""
