use super::macros::answer;
use crate::time::Timestamp;

answer! {
    /// A cache of the server.
    CacheInfo {
        name: String,
        /// `MEM` or `DISK`.
        #[serde(rename = "type")]
        kind: String,
        entries: CacheEntriesInfo,
        /// How long it takes to find something that is not in memory, with the unit.
        average_get: String,
        hit_ratio: CacheHitRatioInfo,
    }
}

answer! {
    /// How many entries a cache has.
    CacheEntriesInfo {
        mem: u64,
        disk: u64,
        /// On disk, with the unit.
        space: String,
    }
}

answer! {
    /// How often something was found, in percent.
    CacheHitRatioInfo {
        mem: u32,
        disk: u32,
    }
}

answer! {
    /// What runs or waits on the server.
    TaskInfo {
        id: String,
        state: String,
        start_time: Option<Timestamp>,
        /// In milliseconds.
        delay: i64,
        command: String,
        remote_name: String,
        project: String,
        queue_name: String,
    }
}

answer! {
    /// What groups can be allowed to do.
    CapabilityInfo {
        id: String,
        name: String,
    }
}

answer! {
    /// A plugin.
    PluginInfo {
        id: String,
        version: String,
        api_version: String,
        index_url: String,
        filename: String,
        disabled: bool,
    }
}
