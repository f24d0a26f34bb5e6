"""What is liked together: counts, and their cosine."""
