//! Disk: bytes, files, what is kept free, and how much too much it was.

use crate::common::{Castoff, USUAL, eventually, text};
use crate::den::{Den, SmallDisk, number};

const MIB: u64 = 1 << 20;

#[test]
fn who_fills_the_disk_is_stopped_at_his_limit_and_told_how_much_it_was() {
    let den = Den::on_a_disk_of("512m", 60_000, "disk: 16MiB, disk_files: 1000, wall_time: 60s");
    // A pause after each piece, so that a busy machine looks in time.
    let filler = "trap '' TERM; i=0; while :; do i=$((i+1)); head -c 4M /dev/zero > f$i; sleep 0.02; done";
    let (answer, record) = den.attack(filler);
    let answer = answer.ended(124).says(&["stopped: it wrote more than 16 MiB to disk", "held"]);
    assert_eq!(record["stopped_by"], "disk-cap", "{record}");
    let written = number(&record["usage"]["disk_bytes"]);
    assert!((16 * MIB..512 * MIB).contains(&written), "{record}");
    let said = format!("the disk had {} MiB and ", written / MIB);
    assert!(answer.stderr.contains(&said), "{answer:?}");

    let (answer, record) = den.attack("i=0; while :; do i=$((i+1)); : > n$i; done");
    answer.ended(124).says(&["stopped: it made more than 1000 files on disk", "files more when it had ended"]);
    assert_eq!(record["stopped_by"], "files-cap", "{record}");

    // All at once, faster than anybody looks.
    let (answer, record) = den.attack("fallocate -l 400M all; code=$?; ls -s all; exit $code");
    assert_ne!(answer.code, 0, "{answer:?}");
    assert!(answer.stderr.contains("not supported") && answer.stdout.starts_with("0 "), "{answer:?}");
    assert!(number(&record["usage"]["disk_bytes"]) < 16 * MIB, "{record}");
}

#[test]
fn files_that_are_longer_than_the_disk_land_and_go_without_being_read() {
    let den = Den::new("wall_time: 60s");
    let work = den.castoff.work();
    let cache = work.join(".cache");
    let maker = format!("mkdir {0}; for i in $(seq 200); do truncate -s 1000M {0}/$i; done", cache.display());
    let (answer, record) = den.attack(&maker);
    answer.ended(0);
    assert_eq!(std::fs::metadata(cache.join("200")).unwrap().len(), 1000 * MIB);
    // Reading them once takes minutes.
    let (answer, longer) = den.attack(&format!("for i in $(seq 200); do echo x >> {}/$i; done", cache.display()));
    answer.ended(0);
    for record in [longer, record] {
        den.castoff.castoff(&["undo", text(&record["run"])]).ended(0);
    }
    assert!(!cache.exists());
}

#[test]
fn the_reserve_stays_free_and_what_took_of_it_is_thrown_away() {
    // Bytes and files of the limits are more than the disk has.
    for (size, files, script) in [
        ("64m", 60_000, "trap '' TERM; i=0; while :; do i=$((i+1)); head -c 2M /dev/zero > f$i; sleep 0.02; done"),
        ("512m", 3000, "i=0; while :; do i=$((i+1)); : > n$i; done"),
    ] {
        let den = Den::on_a_disk_of(size, files, "disk: 1GiB, disk_files: 100000, wall_time: 60s");
        let (answer, record) = den.attack(script);
        answer.ended(124).says(&["stopped: the disk is nearly full", "thrown away to make room"]);
        assert_eq!(
            (text(&record["stopped_by"]), record["changes"].as_array().map(Vec::len)),
            ("disk-reserve", Some(0))
        );
        den.castoff.run("echo on > landed").ended(0);
        assert!(den.castoff.own().join("landed").exists());
    }
}

#[test]
fn who_was_only_there_when_the_disk_became_full_keeps_what_he_has() {
    let den = Den::on_a_disk_of("64m", 60_000, "disk: 1GiB, disk_files: 100000, wall_time: 60s");
    let ben = den.bens("head -c 1M /dev/zero > small; echo ready; sleep 60");
    // Its many names take longer to read than Ben's one: he is done first, while the disk is still full.
    let filler =
        "for i in $(seq 3000); do : > e$i; done; i=0; while :; do i=$((i+1)); head -c 2M /dev/zero > f$i; done";
    let answer = den.castoff.castoff(&["run", "--yes", "--", filler]);
    answer.ended(124).says(&["stopped: the disk is nearly full", "thrown away to make room"]);
    ben.finish().ended(124).says(&["stopped: the disk is nearly full", "held"]);
    let record = den.bens_newest();
    let changes = record["changes"].as_array().map(Vec::len);
    assert_eq!((text(&record["stopped_by"]), changes), ("disk-reserve", Some(1)), "{record}");
    // Its exit code is still that of the run.
    den.castoff.castoff(&["apply", text(&record["run"])]).ended(124).says(&["applied in"]);
    let small = den.castoff.home().join("people/ben/small");
    assert_eq!(std::fs::metadata(small).unwrap().len(), MIB);
}

#[test]
fn below_the_reserve_nothing_starts_and_it_is_said_what_helps() {
    let den = Den::on_a_disk_of("64m", 60_000, "disk: 1GiB");
    let filler = den.castoff.home().join("state/runner/filler");
    let health = |code: i32| {
        let core = den.castoff.castoff(&["status", "--health"]).code;
        (core == code).then(|| den.castoff.castoff(&["runner", "--health"]).code)
    };
    std::fs::write(&filler, vec![0; 62 << 20]).unwrap();
    den.castoff.run("true").ended(69).says(&["the disk is nearly full (", "3 MiB are kept free", "hint: make room"]);
    assert_eq!(eventually("Castoff is not healthy", || health(69)), 1);
    let (code, status) = den.castoff.json(&["status"]);
    assert!(code == 69 && text(&status["runner"]["no_room"]).contains("3 MiB are kept free"), "{status}");
    let said = den.castoff.castoff(&["status"]).ended(69).stdout;
    assert!(said.contains("problem: the disk is nearly full ("), "{said}");
    std::fs::remove_file(&filler).unwrap();
    den.castoff.run("true").ended(0);
    assert_eq!(eventually("Castoff is healthy", || health(0)), 0);
}

#[test]
fn a_core_that_can_keep_no_record_ends_with_an_error_and_goes_on_once_there_is_room() {
    let castoff = Castoff::prepare(USUAL);
    let place = castoff.home().join("state/core");
    let _disk = SmallDisk::at(&place, "16m", 1000);
    castoff.serve();
    let (_, before) = castoff.run_json("echo kept > kept; echo said");
    let filler = place.join("filler");
    std::io::copy(&mut std::io::repeat(0), &mut std::fs::File::create(&filler).unwrap()).unwrap_err();
    // The data file may have room of its own for the first of them, which then ends as ever.
    let much = "head -c 600000 /dev/urandom | base64 -w 0";
    while castoff.run(much).code == 0 {}
    assert_eq!(castoff.core_ended(), Some(1), "so that what watches over it starts it again");
    let log = castoff.log();
    let last: Vec<&str> = log.lines().rev().take(2).collect();
    let said = "castoff: failed to write to the store: the disk is full";
    assert_eq!(last, ["hint: free some space, then start again", said], "{log}");

    std::fs::remove_file(filler).unwrap();
    castoff.serve();
    let run = text(&before["run"]);
    assert_eq!(castoff.castoff(&["logs", run]).ended(0).stdout, "said\n");
    castoff.castoff(&["undo", run]).ended(0);
    assert!(!castoff.own().join("kept").exists());
    castoff.run("echo again").ended(0);
    castoff.castoff(&["audit", "verify"]).ended(0);
}
