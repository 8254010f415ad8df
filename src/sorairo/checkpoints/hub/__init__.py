"""Models of a hub: what files one has, pulling them, and where pulled ones are kept."""
