"""The running worker: agents, saving, metrics, and how they are wired."""
