"""From an HTTP request to the functions that do the work, and back to an answer."""
