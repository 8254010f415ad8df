"""From a request to files, for every entrance: the command line, the server, Python."""
