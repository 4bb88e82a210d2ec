-- The pairs of rotations are erased once their window has closed.

CREATE INDEX sessions_by_sealed_pair ON sessions (rotation_at) WHERE rotation_pair IS NOT NULL;
