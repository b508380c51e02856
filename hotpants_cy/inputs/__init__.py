"""From what the user has to what the engine needs, and back: files, frames, flags, noise, masks."""
