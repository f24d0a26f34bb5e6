"""Tests of the journal, without a broker."""
