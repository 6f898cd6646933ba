//! Bytes as they were, wherever they end up.

use super::*;

fn gather(folder: &std::path::Path, leading_space: bool, max: u64) -> Gather {
    let spool = Arc::new(Spool::new(folder.to_owned(), 1 << 20));
    Gather::new(spool, max, leading_space)
}

fn files(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn read(content: &Content) -> Vec<u8> {
    match content {
        Content::Memory(bytes) => bytes.to_vec(),
        Content::File(file) => std::fs::read(file.path()).unwrap(),
    }
}

#[tokio::test]
async fn small_messages_are_put_together_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    for (leading_space, value) in [(true, &b" one\n\ttwo"[..]), (false, b"one\n\ttwo")] {
        let mut gather = gather(folder.path(), leading_space, 1000);
        gather.header(b"Subject", value);
        gather.header(b"X-Empty", b"");
        gather.end_of_headers();
        gather.end_of_headers();
        gather.body(b"body\r").await;
        gather.body(b"\n").await;
        let (headers, content, _) = gather.finish().await.unwrap();
        let empty = if leading_space { "" } else { " " };
        assert_eq!(
            read(&content),
            format!("Subject: one\r\n\ttwo\r\nX-Empty:{empty}\r\n\r\nbody\r\n").into_bytes()
        );
        assert_eq!(headers[0].name, "Subject");
        assert_eq!(headers[0].value, " one\r\n\ttwo");
        assert_eq!(headers[1].value, empty);
        assert!(matches!(content, Content::Memory(_)));
    }
}

#[tokio::test]
async fn large_messages_go_to_a_file_that_goes_away_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut gather = gather(folder.path(), true, 10 << 20);
    let mut expected = b"A: b\r\n\r\n".to_vec();
    gather.header(b"A", b" b");
    gather.end_of_headers();
    assert_eq!(files(folder.path()), 0);
    for round in 0..40u8 {
        let piece = vec![round; 65535];
        gather.body(&piece).await;
        expected.extend(piece);
    }
    assert_eq!(files(folder.path()), 1);
    let (headers, content, _) = gather.finish().await.unwrap();
    assert_eq!(content.len(), expected.len() as u64);
    assert_eq!(content.head().len(), MEMORY_BYTES_MAX);
    assert_eq!(content.head()[..], expected[..MEMORY_BYTES_MAX]);
    assert_eq!(read(&content), expected);
    assert_eq!(headers[0].value, " b");
    drop(content);
    assert_eq!(files(folder.path()), 0);
}

#[tokio::test]
async fn the_limits_hold() {
    let folder = tempfile::tempdir().unwrap();
    let mut large = gather(folder.path(), true, 1 << 20);
    for _ in 0..17 {
        large.body(&[b'x'; 65535]).await;
    }
    assert_eq!(files(folder.path()), 0, "the file is given up at the limit");
    assert_eq!(large.finish().await.unwrap_err().code(), 552);

    let mut long = gather(folder.path(), true, 1 << 20);
    long.header(b"A", &[b'x'; 60000]);
    long.header(b"B", &[b'x'; 60000]);
    assert!(long.failure.is_none());
    long.header(b"C", &[b'x'; 60000]);
    assert_eq!(long.finish().await.unwrap_err().code(), 552);

    let mut many = gather(folder.path(), true, 1 << 20);
    for _ in 0..=HEADERS_MAX {
        many.header(b"A", b"");
    }
    assert_eq!(many.finish().await.unwrap_err().code(), 552);

    let mut nowhere = gather(&folder.path().join("missing"), true, 1 << 20);
    for _ in 0..10 {
        nowhere.body(&[b'x'; 65535]).await;
    }
    let reply = nowhere.finish().await.unwrap_err();
    assert_eq!(reply.code(), 452);
}

#[tokio::test]
async fn memory_is_for_all_messages_together_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Arc::new(Spool::new(folder.path().to_owned(), 1 << 20));
    let large = async || {
        let mut gather = Gather::new(Arc::clone(&spool), 10 << 20, true);
        for _ in 0..20 {
            gather.body(&[b'x'; 65535]).await;
        }
        gather
    };
    let first = large().await;
    let mut refused = 0;
    let mut others = Vec::new();
    while refused == 0 {
        others.push(large().await);
        refused = others
            .iter()
            .filter(|other| other.failure.is_some())
            .count();
    }
    let last = others.pop().unwrap();
    assert_eq!(last.finish().await.unwrap_err().code(), 451);
    assert_eq!(files(folder.path()), 1 + others.len());

    // What is complete holds its memory until the verdict.
    drop(others);
    let (_, content, held) = first.finish().await.unwrap();
    let free = spool.memory.available_permits();
    drop(content);
    assert_eq!(spool.memory.available_permits(), free);
    drop(held);
    assert_eq!(spool.memory.available_permits(), (1 << 20) / MEMORY_UNIT);
    assert!(large().await.failure.is_none());
}

#[tokio::test]
async fn wherever_a_body_is_cut_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let body = "a\r\n\r\u{e9}\n.\0..\r\n--b--\r\n".as_bytes();
    for cut in 0..body.len() {
        let mut gather = gather(folder.path(), true, 1000);
        gather.header(b"A", b" \t ");
        let (start, end) = body.split_at(cut);
        gather.end_of_headers();
        gather.body(start).await;
        for byte in end {
            gather.body(&[*byte]).await;
        }
        let (headers, content, _) = gather.finish().await.unwrap();
        assert_eq!(headers[0].value, " \t ");
        assert_eq!(read(&content), [b"A: \t \r\n\r\n", body].concat());
    }
}
