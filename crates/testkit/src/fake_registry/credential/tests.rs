use super::Credential;

#[test]
fn headers_are_parsed_or_kept_whole() {
    let basic = Credential::Basic { user: "Aladdin".into(), password: "open sesame".into() };
    assert_eq!(Credential::parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), basic);
    assert_eq!(Credential::parse("bearer a.b.c"), Credential::Bearer("a.b.c".into()));
    for odd in ["Basic ???", "Basic YWJj", "Digest x", "secret"] {
        assert_eq!(Credential::parse(odd), Credential::Other(odd.into()));
    }
}
