"""The demo: a month of flights through the stream, another as a batch, during a canary; the results are checked."""
