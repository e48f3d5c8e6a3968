"""The database: configuration, connections, models, schema, embedded server."""
