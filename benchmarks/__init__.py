"""Side by side with the peers: what the worker costs, in the same run and on the same machine as theirs."""
