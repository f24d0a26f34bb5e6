"""Items that are liked together: counts, and their cosine."""
