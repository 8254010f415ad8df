"""Plans to samples: words, noise, latents, frames. There is one path, whatever the task."""
