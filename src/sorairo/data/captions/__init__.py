"""Words for clips: from files beside them, from a vision model at a URL, from a captioner trained on the worlds."""
