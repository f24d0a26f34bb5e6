"""A/B tests: log what was shown, join it with ratings, report."""
