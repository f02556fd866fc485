//! Open files, and the size of one.

use crate::den::Den;

#[test]
fn a_process_has_its_open_files_and_a_file_its_size() {
    let den = Den::new("open_files: 64, file_size: 1MiB");
    let opener = "perl -e 'while (open my $f, \"<\", \"/dev/null\") { push @f, $f } print scalar(@f), \" $!\\n\"'";
    let (answer, record) = den.attack(opener);
    let answer = answer.ended(0);
    let (opened, why) = answer.stdout.split_once(' ').unwrap();
    assert!((32..64).contains(&opened.parse::<u32>().unwrap()), "{answer:?}");
    assert_eq!(why, "Too many open files\n");
    assert_eq!(record["enforced"]["limits"]["open_files"], 64, "{record}");

    let too_large = "a file would have become larger than 1 MiB";
    let (answer, _) = den.attack("head -c 8M /dev/zero > large; exit $?");
    answer.ended(153).says(&[too_large]);
    let (answer, record) = den.attack("exec head -c 8M /dev/zero > larger");
    answer.ended(153).says(&[too_large]);
    assert_eq!(record["ending"]["signalled"]["signal"], 25, "{record}");
    for name in ["large", "larger"] {
        assert_eq!(std::fs::metadata(den.castoff.own().join(name)).unwrap().len(), 1 << 20);
    }
}
