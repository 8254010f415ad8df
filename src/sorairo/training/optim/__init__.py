"""How weights move: AdamW and Muon, the slow average, the shape of the learning rate."""
