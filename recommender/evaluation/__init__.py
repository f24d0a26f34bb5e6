"""Quality of recommendations: test-then-learn, on data sets."""
