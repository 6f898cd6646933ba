//! What a store in a folder promises, held against crashes, full disks and damaged files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::faulty::FaultyDisk;
use super::file::Disk as _;
use super::local::{BODIES, INCOMING, INDEX, JOURNAL};
use super::*;
use crate::content::SpooledFile;

/// A folder, the disk under it and the machine around it.
pub(super) struct World {
    dir: TempDir,
    pub(super) disk: Arc<FaultyDisk>,
    pub(super) boot: u32,
    floor: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            disk: Arc::default(),
            boot: 1,
            floor: 0,
        }
    }

    pub(super) fn try_open(&self) -> Result<(Local, Recovery), OpenError> {
        let config = LocalConfig {
            free_space_floor_bytes: self.floor,
            segment_bytes: 64 << 10,
            snapshot_bytes: 100_000,
            boot_id: Some(format!("boot {}", self.boot)),
            ..LocalConfig::new(self.dir.path())
        };
        Local::open_on(Arc::clone(&self.disk) as Arc<_>, config)
    }

    pub(super) fn open(&self) -> Local {
        self.try_open().unwrap().0
    }

    /// Power goes and comes back.
    pub(super) fn cut(&mut self, survives: impl FnMut() -> bool) {
        self.disk.cut(survives);
        self.boot += 1;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn segment(&self, number: u64) -> PathBuf {
        segment::path(&self.path(JOURNAL), number)
    }

    pub(super) fn spool(&self, name: &str, content: &[u8]) -> Content {
        let path = self.path(INCOMING).join(name);
        let file = self.disk.create(&path, 0).unwrap();
        file.write_at(content, 0).unwrap();
        let head = Bytes::copy_from_slice(content);
        Content::File(SpooledFile::new(path, content.len() as u64, head))
    }
}

fn id(number: u8) -> BodyId {
    BodyId::from_bytes([number; 16])
}

fn put(key: &str, value: &str) -> Batch {
    let mut batch = Batch::default();
    batch.put(key.as_bytes().to_vec(), value.as_bytes().to_vec());
    batch
}

fn with_body(key: &str, number: u8, content: Content) -> Batch {
    let mut batch = put(key, "value");
    batch.body(id(number), content);
    batch
}

pub(super) fn bytes(len: usize, fill: u8) -> Bytes {
    vec![fill; len].into()
}

fn value(store: &dyn Store, key: &str) -> Option<String> {
    let value = store.get(key.as_bytes()).unwrap();
    value.map(|value| String::from_utf8(value).unwrap())
}

fn flip(path: &Path, offset: usize) {
    let mut content = fs::read(path).unwrap();
    content[offset] ^= 1;
    fs::write(path, content).unwrap();
}

fn contract(store: &dyn Store) {
    let mut batch = put("a1", "one");
    batch.put(b"a2".to_vec(), vec![b'x'; 5000]);
    batch.put(b"a3".to_vec(), b"three".to_vec());
    batch.put(b"b1".to_vec(), b"other".to_vec());
    batch.put(b"a\xff".to_vec(), b"last".to_vec());
    for (number, len) in [(1, 0), (2, 100), (3, 9000)] {
        batch.body(id(number), Content::Memory(bytes(len, number)));
    }
    let mut second = put("a1", "uno");
    second.delete(b"a3".to_vec());
    store.commit(vec![batch, second]).unwrap();
    reads(store);
}

/// What must be read after the commits of [`contract`].
fn reads(store: &dyn Store) {
    assert_eq!(value(store, "a1").as_deref(), Some("uno"));
    assert_eq!(value(store, "a2").map(|v| v.len()), Some(5000));
    assert_eq!(value(store, "a3"), None);
    let keys = |page: Vec<Pair>| -> Vec<Vec<u8>> { page.into_iter().map(|(k, _)| k).collect() };
    let scan = |after: Option<&[u8]>, limit| keys(store.scan(b"a", after, limit).unwrap());
    assert_eq!(scan(None, 9), [&b"a1"[..], b"a2", b"a\xff"]);
    assert_eq!(scan(None, 1), [b"a1"]);
    assert_eq!(scan(Some(b"a1"), 1), [b"a2"]);
    assert_eq!(scan(Some(b"a\xff"), 1), Vec::<Vec<u8>>::new());
    let back = |before: Option<&[u8]>, limit| keys(store.scan_back(b"a", before, limit).unwrap());
    assert_eq!(back(None, 2), [&b"a\xff"[..], b"a2"]);
    assert_eq!(back(Some(b"a2"), 9), [b"a1"]);
    assert_eq!(back(Some(b"z"), 1), [b"a\xff"]);
    assert_eq!(back(Some(b"a"), 1), Vec::<Vec<u8>>::new());
    assert_eq!(keys(store.scan(b"", None, 9).unwrap()).len(), 4);

    for (number, len) in [(1, 0), (2, 100), (3, 9000)] {
        assert_eq!(store.body(id(number)).unwrap(), Some(bytes(len, number)));
        let mut reader = store.body_reader(id(number)).unwrap().unwrap();
        assert_eq!(reader.len(), len as u64);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes(len, number));
    }
    assert!(store.body(id(9)).unwrap().is_none());
}

#[test]
fn both_stores_keep_the_contract() {
    contract(&Memory::default());
    let world = World::new();
    let store = world.open();
    contract(&store);
    store.apply().unwrap();
    reads(&store);
    // The same again over what is in the index, with only a part of it moved there.
    contract(&store);
    store.break_index(3, false);
    store.apply().unwrap_err();
    reads(&store);
    drop(store);
    assert!(world.open().health().takes_mail());
}

#[test]
fn a_group_is_one_sync() {
    let world = World::new();
    let store = world.open();
    let before = world.disk.syncs();
    store.commit(vec![put("a", "1"), put("b", "2")]).unwrap();
    assert_eq!(world.disk.syncs() - before, 1);
}

#[test]
fn after_a_clean_close_nothing_is_replayed() {
    let mut world = World::new();
    let store = world.open();
    store.commit(vec![put("a", "1")]).unwrap();
    store.close().unwrap();
    assert!(matches!(store.get(b"a"), Err(StoreError::Closed)));
    assert!(matches!(
        store.commit(vec![put("b", "2")]),
        Err(CommitError::Unavailable(Unavailable::Dead(_)))
    ));
    drop(store);
    world.boot += 1;
    let (store, report) = world.try_open().unwrap();
    let expected = Recovery {
        clean: true,
        ..Recovery::default()
    };
    assert_eq!(report, expected);
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
}

#[test]
fn on_the_same_boot_the_replay_begins_at_the_checkpoint() {
    let world = World::new();
    let store = world.open();
    store.commit(vec![put("a", "1"), put("b", "1")]).unwrap();
    store.checkpoint().unwrap();
    store.commit(vec![put("b", "2")]).unwrap();
    drop(store);
    let (store, report) = world.try_open().unwrap();
    assert_eq!((report.replayed, report.rebuilt), (1, None));
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    assert_eq!(value(&store, "b").as_deref(), Some("2"));
}

#[test]
fn a_checkpoint_claims_only_what_is_in_the_index() {
    for panics in [false, true] {
        let world = World::new();
        let store = world.open();
        store.commit(vec![put("a", "1")]).unwrap();
        store.checkpoint().unwrap();
        store.commit(vec![put("a", "2"), put("b", "2")]).unwrap();
        store.break_index(1, panics);
        let error = store.checkpoint().unwrap_err();
        assert!(matches!(error, StoreError::Index(_)), "{error}");
        // Whoever reads sees what was acknowledged; nobody writes.
        assert_eq!(value(&store, "b").as_deref(), Some("2"));
        let error = store.commit(vec![put("c", "3")]).unwrap_err();
        let dead = matches!(&error, CommitError::Unavailable(Unavailable::Dead(why)) if why.contains("index"));
        assert!(dead, "{error}");
        assert!(store.health().dead.is_some());
        store.close().unwrap();
        drop(store);
        let (store, report) = world.try_open().unwrap();
        assert_eq!((report.clean, report.replayed), (false, 2));
        assert_eq!(value(&store, "a").as_deref(), Some("2"));
        assert_eq!(value(&store, "b").as_deref(), Some("2"));
        assert_eq!(value(&store, "c"), None);
    }
}

#[test]
fn a_close_that_cannot_bring_the_index_up_to_date_says_so() {
    let world = World::new();
    let store = world.open();
    store.commit(vec![put("a", "1")]).unwrap();
    store.break_index(0, false);
    assert!(matches!(store.close(), Err(StoreError::Index(_))));
    assert!(matches!(store.get(b"a"), Err(StoreError::Closed)));
    drop(store);
    let (store, report) = world.try_open().unwrap();
    assert_eq!((report.clean, report.replayed), (false, 1));
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
}

#[test]
fn a_page_is_of_one_moment_while_the_applier_runs() {
    let world = World::new();
    let store = world.open();
    store.commit(vec![put("mark/0000", "")]).unwrap();
    let last = 400;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=last {
                let mut batch = put(&format!("mark/{number:04}"), "");
                batch.delete(format!("mark/{:04}", number - 1).into_bytes());
                store.commit(vec![batch]).unwrap();
                if number % 3 == 0 {
                    store.apply().unwrap();
                }
            }
        });
        let mut seen = 0;
        while seen < last {
            let page = match seen % 2 {
                0 => store.scan(b"mark/", None, 9).unwrap(),
                _ => store.scan_back(b"mark/", None, 9).unwrap(),
            };
            // Each batch moves the mark: there is never none, and never two.
            let [(key, _)] = &page[..] else {
                panic!("a batch was seen in part: {page:?}");
            };
            let number = std::str::from_utf8(&key[5..]).unwrap().parse().unwrap();
            assert!(number >= seen, "{number} after {seen}");
            seen = number;
        }
    });
}

#[test]
fn on_another_boot_the_index_is_rebuilt_from_snapshot_and_journal() {
    let mut world = World::new();
    let store = world.open();
    let kept = Content::Memory(bytes(3000, 1));
    store
        .commit(vec![with_body("a", 1, kept), put("gone", "x")])
        .unwrap();
    store.snapshot().unwrap();
    let mut batch = put("b", "2");
    batch.delete(b"gone".to_vec());
    store.commit(vec![batch]).unwrap();
    drop(store);
    world.cut(|| true);
    let (store, report) = world.try_open().unwrap();
    assert_eq!(report.replayed, 1);
    assert!(report.rebuilt.is_some());
    assert_eq!(value(&store, "a").as_deref(), Some("value"));
    assert_eq!(value(&store, "b").as_deref(), Some("2"));
    assert_eq!(value(&store, "gone"), None);
    assert_eq!(store.body(id(1)).unwrap(), Some(bytes(3000, 1)));
}

#[test]
fn a_damaged_snapshot_is_not_believed() {
    let mut world = World::new();
    let store = world.open();
    store.commit(vec![put("a", "1")]).unwrap();
    store.snapshot().unwrap();
    drop(store);
    flip(&world.path("snapshot"), 60);
    world.boot += 1;
    let (store, report) = world.try_open().unwrap();
    assert_eq!(report.replayed, 1);
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
}

#[test]
fn garbage_in_the_index_is_replaced() {
    let world = World::new();
    let store = world.open();
    store.commit(vec![put("a", "1")]).unwrap();
    store.close().unwrap();
    drop(store);
    for name in file::names(&world.path(INDEX)).unwrap() {
        let path = world.path(INDEX).join(name);
        if path.is_file() {
            fs::write(path, vec![0x5a; 9000]).unwrap();
        }
    }
    let (store, report) = world.try_open().unwrap();
    assert!(report.rebuilt.is_some(), "{report:?}");
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
}

#[test]
fn a_missing_index_is_replaced() {
    let world = World::new();
    let store = world.open();
    store.commit(vec![put("a", "1")]).unwrap();
    store.close().unwrap();
    drop(store);
    fs::remove_dir_all(world.path(INDEX)).unwrap();
    let (store, report) = world.try_open().unwrap();
    assert!(report.rebuilt.is_some(), "{report:?}");
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
}

#[test]
fn only_one_process_may_open_it() {
    let world = World::new();
    let store = world.open();
    let error = world.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)));
    assert!(
        error
            .to_string()
            .contains(&*world.dir.path().to_string_lossy())
    );
    drop(store);
    world.open();
}

#[test]
fn a_newer_schema_is_refused() {
    let world = World::new();
    world.open().close().unwrap();
    flip(&world.segment(1), 10);
    let error = world.try_open().unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { .. }), "{error}");
}

#[test]
fn a_torn_end_is_cut_and_overwritten() {
    let world = World::new();
    let store = world.open();
    store.commit(vec![put("a", "1")]).unwrap();
    store.commit(vec![put("b", "2"), put("c", "3")]).unwrap();
    drop(store);
    // The frames are 56 bytes each; of the last group, the first is torn and the second whole.
    flip(&world.segment(1), 4096 + 56 + 40);
    let (store, report) = world.try_open().unwrap();
    assert!(report.torn_bytes > 56, "{report:?}");
    store.commit(vec![put("d", "4")]).unwrap();
    drop(store);
    // The second frame stood where the next one would; it must not come to life.
    let (_, report) = world.try_open().unwrap();
    assert_eq!((report.torn_bytes, report.replayed), (0, 2));
}

#[test]
fn damage_before_the_synced_position_is_refused_and_nothing_changed() {
    for closed in [false, true] {
        let mut world = World::new();
        let store = world.open();
        store.commit(vec![put("a", "1")]).unwrap();
        store.commit(vec![put("b", "2")]).unwrap();
        if closed {
            store.checkpoint().unwrap();
        }
        drop(store);
        // Without a checkpoint the last frame tells of the first; with one, it tells of both.
        flip(
            &world.segment(1),
            if closed { 4096 + 56 + 40 } else { 4096 + 40 },
        );
        let before = fs::read(world.segment(1)).unwrap();
        world.boot += 1;
        let error = world.try_open().unwrap_err();
        let offset = if closed { 4096 + 56 } else { 4096 };
        let found = matches!(&error, OpenError::Damaged { offset: o, .. } if *o == offset);
        assert!(found, "{error}");
        assert_eq!(fs::read(world.segment(1)).unwrap(), before);
    }
}

#[test]
fn a_missing_segment_is_damage() {
    let mut world = World::new();
    let store = world.open();
    for number in 0..5 {
        let content = Content::Memory(bytes(40_000, number));
        store.commit(vec![with_body("a", number, content)]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    world.boot += 1;
    fs::remove_file(world.segment(5)).unwrap();
    assert!(matches!(world.try_open(), Err(OpenError::Damaged { .. })));
    fs::remove_dir_all(world.path(JOURNAL)).unwrap();
    assert!(matches!(world.try_open(), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_damaged_body_is_not_handed_out() {
    let world = World::new();
    let store = world.open();
    let content = Content::Memory(bytes(5000, 1));
    store.commit(vec![with_body("a", 1, content)]).unwrap();
    flip(&world.segment(1), 4096 + 2000);
    assert!(matches!(store.body(id(1)), Err(StoreError::Damaged(_))));
}

#[test]
fn a_full_disk_refuses_and_resumes() {
    let world = World::new();
    let store = world.open();
    let body = |number| Content::Memory(bytes(40_000, number));
    store.commit(vec![with_body("a", 1, body(1))]).unwrap();
    world.disk.set_free(Some(100));
    for _ in 0..2 {
        let error = store.commit(vec![with_body("b", 2, body(2))]).unwrap_err();
        assert!(
            matches!(error, CommitError::Unavailable(Unavailable::Disk(_))),
            "{error}"
        );
        assert_eq!(value(&store, "b"), None);
    }
    world.disk.set_free(None);
    store.commit(vec![with_body("c", 3, body(3))]).unwrap();
    drop(store);
    let store = world.open();
    assert_eq!(store.body(id(1)).unwrap(), Some(bytes(40_000, 1)));
    assert_eq!(value(&store, "b"), None);
    assert_eq!(store.body(id(3)).unwrap(), Some(bytes(40_000, 3)));
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let mut world = World::new();
    let store = world.open();
    store.commit(vec![put("a", "1")]).unwrap();
    world.disk.fail_writes(1);
    let error = store
        .commit(vec![put("b", "2"), put("c", "3"), put("d", "4")])
        .unwrap_err();
    assert!(
        matches!(error, CommitError::Unavailable(Unavailable::Disk(_))),
        "{error}"
    );
    store.commit(vec![put("e", "5")]).unwrap();
    drop(store);
    world.boot += 1;
    let (store, report) = world.try_open().unwrap();
    assert_eq!(report.replayed, 2);
    assert_eq!(value(&store, "b"), None);
    assert_eq!(value(&store, "e").as_deref(), Some("5"));
}

#[test]
fn a_failed_sync_is_the_end_until_a_restart() {
    let world = World::new();
    let store = world.open();
    world.disk.fail_syncs(1);
    let error = store.commit(vec![put("a", "1")]).unwrap_err();
    assert!(matches!(error, CommitError::Unknown(_)), "{error}");
    let syncs = world.disk.syncs();
    let error = store.commit(vec![put("b", "2")]).unwrap_err();
    assert!(
        matches!(error, CommitError::Unavailable(Unavailable::Dead(_))),
        "{error}"
    );
    assert_eq!(world.disk.syncs(), syncs);
    assert!(store.health().dead.is_some());
    drop(store);
    let store = world.open();
    store.commit(vec![put("b", "2")]).unwrap();
}

#[test]
fn a_failed_cleaning_up_is_the_end_too() {
    let world = World::new();
    let store = world.open();
    world.disk.fail_writes(2);
    let error = store.commit(vec![put("a", "1")]).unwrap_err();
    assert!(matches!(error, CommitError::Unknown(_)), "{error}");
}

#[test]
fn below_the_floor_only_essential_batches_are_taken() {
    let mut world = World::new();
    world.floor = 1000;
    let store = world.open();
    world.disk.set_free(Some(999));
    let error = store.commit(vec![put("a", "1")]).unwrap_err();
    assert!(matches!(
        error,
        CommitError::Unavailable(Unavailable::BelowFloor { .. })
    ));
    assert!(store.health().below_floor && !store.health().takes_mail());
    let mut batch = put("b", "2");
    batch.set_essential();
    store.commit(vec![batch]).unwrap();
    world.disk.set_free(Some(1000));
    store.commit(vec![put("c", "3")]).unwrap();
}

#[test]
fn an_adopted_file_survives_and_orphans_do_not() {
    let mut world = World::new();
    let store = world.open();
    let large = bytes(300_000, 7);
    let content = world.spool("in 1", &large);
    store.commit(vec![with_body("a", 1, content)]).unwrap();
    world.disk.fail_syncs(1);
    let refused = world.spool("in 2", &large);
    assert!(store.commit(vec![with_body("b", 2, refused)]).is_err());
    drop(store);
    fs::write(world.path(INCOMING).join("half"), b"From").unwrap();
    fs::write(world.path(BODIES).join(id(9).to_string()), b"x").unwrap();
    fs::write(world.path(BODIES).join("stranger"), b"x").unwrap();
    world.cut(|| false);
    let (store, report) = world.try_open().unwrap();
    assert_eq!(report.orphans, 3);
    assert_eq!(store.body(id(1)).unwrap(), Some(large));
    assert_eq!(
        file::names(&world.path(INCOMING)).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(
        file::names(&world.path(BODIES)).unwrap(),
        [id(1).to_string()]
    );
}

#[test]
fn a_refused_group_keeps_no_file() {
    let world = World::new();
    let store = world.open();
    let content = world.spool("in", &[1; 300]);
    world.disk.fail_writes(1);
    assert!(store.commit(vec![with_body("a", 1, content)]).is_err());
    assert!(file::names(&world.path(BODIES)).unwrap().is_empty());
    assert!(file::names(&world.path(INCOMING)).unwrap().is_empty());
}

#[test]
fn the_keeper_prepares_a_segment_and_bounds_the_replay() {
    let mut world = World::new();
    let store = world.open();
    for number in 0..5 {
        let content = Content::Memory(bytes(20_000, number));
        store.commit(vec![with_body("a", number, content)]).unwrap();
    }
    store.keep();
    assert!(world.path(JOURNAL).join("next.tmp").exists());
    // Too little was written since for another snapshot, and enough for another checkpoint.
    store.commit(vec![put("b", "1")]).unwrap();
    store.keep();
    let full = Content::Memory(bytes(60_000, 7));
    store.commit(vec![with_body("c", 7, full)]).unwrap();
    assert!(!world.path(JOURNAL).join("next.tmp").exists());
    drop(store);
    let (store, report) = world.try_open().unwrap();
    assert_eq!((report.replayed, report.rebuilt), (1, None));
    drop(store);
    world.cut(|| false);
    let (store, report) = world.try_open().unwrap();
    assert_eq!(report.replayed, 2);
    assert_eq!(store.body(id(0)).unwrap(), Some(bytes(20_000, 0)));
}

#[test]
fn a_real_store_with_its_keeper_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = LocalConfig {
        segment_bytes: 64 << 10,
        checkpoint_bytes: 50_000,
        free_space_floor_bytes: 0,
        ..LocalConfig::new(folder.path())
    };
    let (store, _) = Local::open(config.clone()).unwrap();
    for number in 0..20 {
        let content = Content::Memory(bytes(20_000, number));
        store.commit(vec![with_body("a", number, content)]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let (store, report) = Local::open(config).unwrap();
    assert!(report.clean && report.rebuilt.is_none(), "{report:?}");
    for number in 0..20 {
        assert_eq!(store.body(id(number)).unwrap(), Some(bytes(20_000, number)));
    }
}
