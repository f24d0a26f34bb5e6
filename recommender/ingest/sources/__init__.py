"""Topics as teams have them: a file says how their records become ratings."""
