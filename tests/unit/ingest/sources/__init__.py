"""Topics as teams have them, without a broker."""
