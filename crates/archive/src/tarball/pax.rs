//! Extended headers (POSIX pax, "pax Header Block"): records of `<length> <key>=<value>\n`.

/// The properties of an entry that an extension header gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

/// Reads records into `into`. Keys that say nothing about name, link or size are ignored.
///
/// # Errors
/// The reason, for an error message.
pub(super) fn read(bytes: &[u8], into: &mut Extended) -> Result<(), &'static str> {
    const BROKEN: &str = "an extension header is not readable";
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or(BROKEN)?;
        let length = number(&rest[..space]).and_then(|length| usize::try_from(length).ok()).ok_or(BROKEN)?;
        if length <= space + 1 || length > rest.len() || rest[length - 1] != b'\n' {
            return Err(BROKEN);
        }
        let record = &rest[space + 1..length - 1];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(BROKEN)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => into.name = Some(value.to_vec()),
            b"linkpath" => into.link = Some(value.to_vec()),
            b"size" => into.size = Some(number(value).ok_or(BROKEN)?),
            _ if key.starts_with(b"GNU.sparse.") => return Err("an entry is a sparse file"),
            _ => {}
        }
        rest = &rest[length..];
    }
    Ok(())
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}
