"""The demo: a month of flights through the stream, another as batches, during a canary; the results are checked."""
