"""Chaos: workers are killed, stopped, paused and joined at random while ratings and requests flow."""
