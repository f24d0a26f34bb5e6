"""The pages that a worker serves over HTTP."""
