"""The main job, run and held to account: a month of flights through the stream, another as a batch, a canary in between."""
