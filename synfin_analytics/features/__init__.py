"""What was known of a transaction at its moment: features for a model, from frames alone."""
