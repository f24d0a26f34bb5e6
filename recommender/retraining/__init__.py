"""Learning anew from the log, and handing over to the workers that run."""
