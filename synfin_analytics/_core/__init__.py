"""What several floors share: dates, dataframes, validation, formatting. It knows no database."""
