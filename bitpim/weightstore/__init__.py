"""Wing of stored weights: lines packed, compressed and checked, and the cache that reads them."""
