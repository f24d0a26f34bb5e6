"""How good the recommendations are: test-then-learn, on data sets."""
