use super::ErrorCode;

#[test]
fn codes_are_spelled_as_clients_know_them() {
    for (code, wanted) in [
        (ErrorCode::BlobUnknown, "BLOB_UNKNOWN"),
        (ErrorCode::DigestInvalid, "DIGEST_INVALID"),
        (ErrorCode::ManifestUnknown, "MANIFEST_UNKNOWN"),
        (ErrorCode::NameInvalid, "NAME_INVALID"),
        (ErrorCode::NameUnknown, "NAME_UNKNOWN"),
        (ErrorCode::TagInvalid, "TAG_INVALID"),
        (ErrorCode::PaginationNumberInvalid, "PAGINATION_NUMBER_INVALID"),
        (ErrorCode::RangeInvalid, "RANGE_INVALID"),
        (ErrorCode::Unauthorized, "UNAUTHORIZED"),
        (ErrorCode::Denied, "DENIED"),
        (ErrorCode::Unsupported, "UNSUPPORTED"),
        (ErrorCode::TooManyRequests, "TOOMANYREQUESTS"),
        (ErrorCode::Unavailable, "UNAVAILABLE"),
        (ErrorCode::Unknown, "UNKNOWN"),
    ] {
        assert_eq!(code.as_str(), wanted);
        assert_eq!(code.to_string(), wanted);
    }
}
