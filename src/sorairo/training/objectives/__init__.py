"""What can be trained: each a loss over batches (see training/objective.py)."""
