-- SQLite has json_each; PostgreSQL gets a function of the same name in its migration of this number.
SELECT 1;
