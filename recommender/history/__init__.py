"""Ids and ratings in log order: the state that the models read."""
