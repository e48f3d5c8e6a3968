"""Files of several formats as batches of rows."""
