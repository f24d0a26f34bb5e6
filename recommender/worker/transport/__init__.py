"""Faust's and aiokafka's Kafka driver, as changed here: batches, commits of our own, a patient producer."""

import logging

#: Services log under their class' module; these are Faust's, and its log is quieter than ours.
FAUST_LOGGER = logging.getLogger("faust.recommender")
