"""From a folder of files to shards: look, choose, cut, name, encode. run.py is the whole; the others are its steps."""
