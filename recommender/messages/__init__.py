"""The wire: ratings, requests, responses and their headers."""
