"""Two small programs that do the same job as commonly built: what the gateway is measured against in the same run."""
