//! Points in time between Tideway, which has the operating system's, and us. Absurd ones saturate.

use std::time::{Duration, SystemTime};

use wayleave_core::time::Timestamp;

pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    // Before the epoch is the epoch.
    Timestamp::MIN.plus(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

pub(crate) fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(time.since(Timestamp::MIN)).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A15: no time panics, in either direction.
    #[test]
    fn absurd_times_saturate() {
        let ago = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(timestamp(ago), Timestamp::MIN);
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert_eq!(timestamp(far), Timestamp::MAX);
        for time in [Timestamp::MIN, Timestamp::from_millis(1_700_000_000_123), Timestamp::MAX] {
            assert_eq!(timestamp(system_time(time)), time);
        }
    }
}
