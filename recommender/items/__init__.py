"""Titles, availability, categories and boosts of items."""
