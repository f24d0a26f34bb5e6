"""What is known of items beside their ratings: titles, availability, categories, boosts."""
