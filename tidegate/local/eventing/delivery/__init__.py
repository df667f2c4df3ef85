"""Delivery of one event to one address: filters, attempts, replies and dead letters."""
