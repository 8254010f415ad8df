"""What words say: a grammar of a world, understanding, expansion by it or by a chat server, style presets."""
