-- Keys that clients wrap, beside the credential whose secret opens them.

ALTER TABLE credentials ADD COLUMN wrapped_key BLOB;
-- What tells it from others; there when the key is.
ALTER TABLE credentials ADD COLUMN wrapped_key_tag BLOB CHECK (length(wrapped_key_tag) = 16);
