"""The memory that a model needs: what is free, what each part takes, and how to run within it."""
