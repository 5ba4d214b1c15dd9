-- Runs as whoever connected: CREATE EXTENSION needs CREATE on the database, which kg_owner need not have.

DO $extensions$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
    CREATE EXTENSION pg_trgm WITH SCHEMA kg;
  END IF;

  -- Optional: without it embeddings are real[] and search goes to the derived vector store only.
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') THEN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
      BEGIN
        CREATE EXTENSION vector WITH SCHEMA kg;
      EXCEPTION
        WHEN insufficient_privilege THEN
          RAISE NOTICE 'role % may not create extension vector; embeddings are real[]', session_user;
      END;
    ELSE
      RAISE NOTICE 'extension vector is not available; embeddings are real[]';
    END IF;
  END IF;
END
$extensions$;
