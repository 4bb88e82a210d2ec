-- Sweeps remove known devices that have expired.

CREATE INDEX known_devices_by_expiry ON known_devices (expires_at);
