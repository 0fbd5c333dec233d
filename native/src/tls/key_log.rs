//! Append TLS secrets to a file that the operator named, in the format of NSS.

use rustls::KeyLog;
use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Mutex;

/// Writes each secret as one line. Readable by its owner only.
pub struct KeyLogAt(Mutex<File>);

impl KeyLogAt {
    /// Append to `path`, which has mode 0600 from then on, whoever created it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(Self(Mutex::new(file)))
    }
}

impl fmt::Debug for KeyLogAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLogAt")
    }
}

impl KeyLog for KeyLogAt {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        if let Ok(mut file) = self.0.lock() {
            // A full disk must not end a connection: the log is a debugging aid.
            let _ = file.write_all(line.as_bytes());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
