"""Wing of weight stores: weights in lines, and the cache they are read through."""
