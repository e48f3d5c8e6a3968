"""Files of all formats that ``load_df`` reads, as batches of rows."""
