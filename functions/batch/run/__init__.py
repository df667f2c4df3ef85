"""A resumable run of a batch: its parts, their manifest, and the flow of requests that scores them."""
