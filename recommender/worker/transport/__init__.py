"""Faust's and aiokafka's Kafka driver, as changed here: batches, own offsets, a patient producer."""
