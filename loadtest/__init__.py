"""Load tests of a running gateway with reports, and measurements of cold starts, overhead and robustness."""
