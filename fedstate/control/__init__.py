"""The controller machinery: keys, results, queues, workers. Does not know what the objects mean."""
