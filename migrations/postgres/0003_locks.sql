-- Which pipeline has which environment or lock, for as long as one of its stages occupies it.
CREATE TABLE locks (
  name TEXT PRIMARY KEY NOT NULL,
  stream TEXT NOT NULL,
  holder TEXT NOT NULL,
  since BIGINT NOT NULL
);
CREATE INDEX locks_stream ON locks (stream);
