"""PostgreSQL as a store: psycopg without an ORM, SQL in files, and every port of the gateway."""
