"""Where a model is trained: processes that share a batch."""
