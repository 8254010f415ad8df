"""DiT, pictures of a named class: model, codec, sampling, folder and names in one room. See docs/dit.md."""
