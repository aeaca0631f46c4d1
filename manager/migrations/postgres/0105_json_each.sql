-- The elements of a JSON array as rows, under the name that SQLite has built in.
CREATE FUNCTION json_each(list TEXT) RETURNS TABLE (value TEXT)
AS 'SELECT pg_catalog.json_array_elements_text(list::pg_catalog.json)'
LANGUAGE sql IMMUTABLE STRICT;
