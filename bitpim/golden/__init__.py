"""bitpim as a golden model: arrays stepped, recorded, and held against other designs."""
