"""Learning again from the log, and handing over to the workers that run."""
