"""The commands, one module each: options and output. Slow imports are inside of functions, so that `--help` is fast."""
