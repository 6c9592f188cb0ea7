"""Many photographs: shards that are described one by one on one machine, or on many by Ray Data."""
