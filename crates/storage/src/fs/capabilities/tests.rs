use super::tells_of_failed_writes;

#[test]
fn only_kernels_whose_syncfs_reports_failed_writes_are_trusted_with_it() {
    let trusted = ["5.8.0", "5.15.0-1051-aws", "6.1.0-18-amd64", "6.18", "10.0"];
    let not = ["5.7.19", "5.4.0-150-generic", "4.19.0", "3.10.0-1160.el7", "", "linux", "6"];
    assert_eq!(trusted.map(tells_of_failed_writes), [true; 5]);
    assert_eq!(not.map(tells_of_failed_writes), [false; 7]);
}
