"""Where clips to learn from come from: simulated worlds, or a folder of one's own."""
