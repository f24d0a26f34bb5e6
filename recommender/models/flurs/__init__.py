"""FluRS' own recommenders behind guards."""
